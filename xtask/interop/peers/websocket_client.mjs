// ws's client: `websocket_client.mjs FOLDER ADDRESS` performs the exchanges with `terminal`, with the ws in FOLDER.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import net from 'node:net';
import { large, parse, report } from './address.mjs';

const WebSocket = createRequire(`${process.argv[2]}/`)('ws');

async function opened() {
  const createConnection = () => net.connect(parse(process.argv[3]));
  const socket = new WebSocket('ws://localhost/socket', { createConnection, handshakeTimeout: 20_000 });
  await once(socket, 'open');
  return socket;
}

async function echo(socket, message, options = {}) {
  const echoed = once(socket, 'message');
  socket.send(message, options);
  const [data, isBinary] = await echoed;
  assert.equal(isBinary, typeof message !== 'string');
  assert.deepEqual(isBinary ? data : data.toString(), message);
}

async function close(socket) {
  const closed = once(socket, 'close');
  socket.close(1000);
  const [code] = await closed;
  assert.equal(code, 1000);
}

await report({
  async text() {
    const socket = await opened();
    for (const message of ['some text', '', 'more']) await echo(socket, message);
    await close(socket);
  },
  async binary() {
    const socket = await opened();
    await echo(socket, large());
    await close(socket);
  },
  async ping() {
    const socket = await opened();
    const answered = once(socket, 'pong');
    socket.ping('some text');
    const [data] = await answered;
    assert.equal(data.toString(), 'some text');
    await close(socket);
  },
  async closing() {
    await close(await opened());
  },
});
