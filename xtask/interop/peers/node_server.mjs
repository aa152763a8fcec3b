// Node's http: `node_server.mjs ADDRESS` serves the same targets as our server.

import http from 'node:http';

import { announce, large, parse } from './address.mjs';

const server = http.createServer((request, response) => {
  const { method, url } = request;
  if (method === 'POST' && url === '/echo') {
    // Node sends a response without a length in chunks.
    const length = request.headers['content-length'];
    if (length !== undefined) response.setHeader('content-length', length);
    request.pipe(response);
  } else if (url === '/hello') {
    response.setHeader('content-length', 12).end('hello, world');
  } else if (url === '/large') {
    response.end(large());
  } else if (url === '/chunks') {
    for (const word of ['one', 'two', 'three']) response.write(word);
    response.end();
  } else {
    response.writeHead(404).end('there is no such thing');
  }
});

server.listen(parse(process.argv[2]), () => announce(server.address()));
process.stdin.on('end', () => process.exit(0)).resume();
