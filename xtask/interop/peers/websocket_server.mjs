// ws's server: `websocket_server.mjs FOLDER ADDRESS` echoes messages at /socket, with the ws in FOLDER.

import { createRequire } from 'node:module';
import http from 'node:http';
import { announce, parse } from './address.mjs';

const { WebSocketServer } = createRequire(`${process.argv[2]}/`)('ws');

const server = http.createServer((_, response) => response.writeHead(404).end());
const sockets = new WebSocketServer({ server, path: '/socket' });
sockets.on('connection', (socket) => {
  socket.on('message', (data, binary) => socket.send(data, { binary }));
  socket.on('error', (error) => console.error(error.message));
});
server.listen(parse(process.argv[3]), () => announce(server.address()));
process.stdin.on('end', () => process.exit(0)).resume();
