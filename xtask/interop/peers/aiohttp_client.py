"""aiohttp's client: `aiohttp_client.py ADDRESS` performs the exchanges with our server."""

import asyncio
import socket
import sys

import aiohttp

import address

FAMILY, WHERE = address.parse(sys.argv[1])
URL = 'http://localhost' if FAMILY == socket.AF_UNIX else 'http://' + sys.argv[1]


def session():
    if FAMILY == socket.AF_UNIX:
        connector = aiohttp.UnixConnector(WHERE.decode() if isinstance(WHERE, bytes) else WHERE)
    else:
        connector = aiohttp.TCPConnector()
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(20))


async def ask(connection, method, target, **rest):
    async with connection.request(method, URL + target, **rest) as response:
        return response, await response.read()


async def hello(connection, **rest):
    response, body = await ask(connection, 'GET', '/hello', **rest)
    address.same((response.status, body), (200, b'hello, world'))
    return response


async def echo(connection, body, wanted):
    response, received = await ask(connection, 'POST', '/echo', data=body)
    address.same((response.status, received), (200, wanted))
    return response


async def pieces(*data):
    for piece in data:
        yield piece


async def head(connection):
    response, body = await ask(connection, 'HEAD', '/hello')
    address.same((response.status, body, response.headers['content-length']), (200, b'', '12'))


async def chunked(connection):
    response = await echo(connection, pieces(b'some', b' ', b'text'), b'some text')
    address.same(response.headers['transfer-encoding'], 'chunked')


async def large(connection):
    response, body = await ask(connection, 'GET', '/large')
    address.same((response.status, body), (200, address.large()))
    await echo(connection, address.large(), address.large())
    parts = [address.large()[n:n + 60000] for n in range(0, 1 << 20, 60000)]
    await echo(connection, pieces(*parts), address.large())


async def keep_alive(connection):
    for _ in range(3):
        await hello(connection)
        await echo(connection, b'some text', b'some text')
        await ask(connection, 'HEAD', '/hello')
    _, body = await ask(connection, 'GET', '/requests')
    address.same(body, b'10')


async def close(connection):
    response = await hello(connection, headers={'connection': 'close'})
    address.same(response.headers['connection'], 'close')


async def missing(connection):
    response, _ = await ask(connection, 'GET', '/missing')
    address.same(response.status, 404)


async def chunks(connection):
    response, body = await ask(connection, 'GET', '/chunks')
    address.same((body, response.headers['transfer-encoding']), (b'onetwothree', 'chunked'))


def alone(exchange):
    """Returns a function that performs the exchange in a session of its own."""
    async def perform():
        async with session() as connection:
            await exchange(connection)
    return lambda: asyncio.run(perform())


address.report([
    ('get', alone(hello)),
    ('head', alone(head)),
    ('post', alone(lambda connection: echo(connection, b'some text', b'some text'))),
    ('chunked', alone(chunked)),
    ('large', alone(large)),
    ('keep-alive', alone(keep_alive)),
    ('close', alone(close)),
    ('404', alone(missing)),
    ('chunks', alone(chunks)),
    ('extensions', 'aiohttp drops them'),
])
