// undici: `undici_client.mjs FOLDER ADDRESS` performs the exchanges with our server, with the undici in FOLDER.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

import { large, parse, report } from './address.mjs';

const { Client } = createRequire(`${process.argv[2]}/`)('undici');
const { host, port, path: socketPath } = parse(process.argv[3]);
const origin = socketPath ? 'http://localhost' : `http://${host.includes(':') ? `[${host}]` : host}:${port}`;

// Performs an exchange with a new client, which has one connection.
async function alone(exchange) {
  const client = new Client(origin, { socketPath, headersTimeout: 20_000, bodyTimeout: 20_000 });
  client.connections = 0;
  client.on('connect', () => { client.connections += 1; });
  try {
    await exchange(client);
  } finally {
    await client.destroy();
  }
}

async function ask(client, method, path, { body, headers } = {}) {
  const answer = await client.request({ method, path, body, headers });
  return { ...answer, body: Buffer.from(await answer.body.arrayBuffer()) };
}

async function hello(client, rest) {
  const answer = await ask(client, 'GET', '/hello', rest);
  assert.equal(answer.statusCode, 200);
  assert.equal(answer.body.toString(), 'hello, world');
  return answer;
}

async function echo(client, body, bytes) {
  const answer = await ask(client, 'POST', '/echo', { body });
  assert.equal(answer.statusCode, 200);
  assert.ok(answer.body.equals(bytes), `${answer.body.length} bytes that are not the same`);
  return answer;
}

// undici sends an asynchronous iterator in chunks.
async function* pieces(bytes) {
  yield* bytes;
}

const text = Buffer.from('some text');

await report({
  get: () => alone(hello),
  head: () => alone(async (client) => {
    const { statusCode, headers, body } = await ask(client, 'HEAD', '/hello');
    assert.deepEqual([statusCode, headers['content-length'], body.length], [200, '12', 0]);
  }),
  post: () => alone((client) => echo(client, text, text)),
  chunked: () => alone(async (client) => {
    const { headers } = await echo(client, pieces(['some', ' ', 'text'].map(Buffer.from)), text);
    assert.equal(headers['transfer-encoding'], 'chunked');
  }),
  large: () => alone(async (client) => {
    const { body } = await ask(client, 'GET', '/large');
    assert.ok(body.equals(large()));
    await echo(client, large(), large());
    const parts = Array.from({ length: 16 }, (_, n) => large().subarray(n << 16, (n + 1) << 16));
    await echo(client, pieces(parts), large());
  }),
  'keep-alive': () => alone(async (client) => {
    // There is no HEAD here, because undici closes the connection after it.
    for (let round = 0; round < 3; round += 1) {
      await hello(client);
      await echo(client, text, text);
      await ask(client, 'GET', '/missing');
    }
    const { body } = await ask(client, 'GET', '/requests');
    assert.deepEqual([body.toString(), client.connections], ['10', 1]);
  }),
  close: () => alone(async (client) => {
    const { headers } = await hello(client, { headers: { connection: 'close' } });
    assert.equal(headers.connection, 'close');
  }),
  404: () => alone(async (client) => assert.equal((await ask(client, 'GET', '/missing')).statusCode, 404)),
  chunks: () => alone(async (client) => {
    const { headers, body } = await ask(client, 'GET', '/chunks');
    assert.deepEqual([body.toString(), headers['transfer-encoding']], ['onetwothree', 'chunked']);
  }),
  extensions: 'undici drops them',
});
