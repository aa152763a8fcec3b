// Node's http: `node_client.mjs ADDRESS` performs the exchanges with our server.

import assert from 'node:assert/strict';
import http from 'node:http';

import { large, parse, report } from './address.mjs';

const { host, port, path: socketPath } = parse(process.argv[2]);

// Performs an exchange. A body in `chunks` is sent in chunks, and a body in `bytes` with a Content-Length.
function ask(agent, method, path, { bytes, chunks = [], headers = {} } = {}) {
  return new Promise((resolve, reject) => {
    const options = { agent, method, path, host, port, socketPath, headers: { ...headers }, timeout: 20_000 };
    if (bytes !== undefined) options.headers['content-length'] = bytes.length;
    const request = http.request(options, (response) => {
      const pieces = [];
      response.on('data', (piece) => pieces.push(piece)).on('error', reject);
      response.on('end', () => {
        const { statusCode, headers } = response;
        resolve({ statusCode, headers, body: Buffer.concat(pieces), reused: request.reusedSocket });
      });
    });
    request.on('error', reject).on('timeout', () => request.destroy(new Error('nothing comes')));
    for (const chunk of chunks) request.write(chunk);
    request.end(bytes);
  });
}

async function hello(agent, rest) {
  const answer = await ask(agent, 'GET', '/hello', rest);
  assert.equal(answer.statusCode, 200);
  assert.equal(answer.body.toString(), 'hello, world');
  return answer;
}

async function echo(agent, body, bytes) {
  const answer = await ask(agent, 'POST', '/echo', body);
  assert.equal(answer.statusCode, 200);
  assert.ok(answer.body.equals(bytes), `${answer.body.length} bytes that are not the same`);
  return answer;
}

const text = Buffer.from('some text');

await report({
  get: () => hello(false),
  head: async () => {
    const { statusCode, headers, body } = await ask(false, 'HEAD', '/hello');
    assert.deepEqual([statusCode, headers['content-length'], body.length], [200, '12', 0]);
  },
  post: () => echo(false, { bytes: text }, text),
  chunked: async () => {
    const { headers } = await echo(false, { chunks: ['some', ' ', 'text'] }, text);
    assert.equal(headers['transfer-encoding'], 'chunked');
  },
  large: async () => {
    const { body } = await ask(false, 'GET', '/large');
    assert.ok(body.equals(large()));
    await echo(false, { bytes: large() }, large());
    const chunks = Array.from({ length: 16 }, (_, n) => large().subarray(n << 16, (n + 1) << 16));
    await echo(false, { chunks }, large());
  },
  'keep-alive': async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    for (let round = 0; round < 3; round += 1) {
      const { reused } = await hello(agent);
      assert.equal(reused, round > 0);
      await echo(agent, { bytes: text }, text);
      await ask(agent, 'HEAD', '/hello');
    }
    const { body } = await ask(agent, 'GET', '/requests');
    assert.equal(body.toString(), '10');
    agent.destroy();
  },
  close: async () => {
    const { headers } = await hello(false, { headers: { connection: 'close' } });
    assert.equal(headers.connection, 'close');
  },
  404: async () => assert.equal((await ask(false, 'GET', '/missing')).statusCode, 404),
  chunks: async () => {
    const { headers, body } = await ask(false, 'GET', '/chunks');
    assert.deepEqual([body.toString(), headers['transfer-encoding']], ['onetwothree', 'chunked']);
  },
  extensions: 'Node drops them',
});
