"""aiohttp's server: `aiohttp_server.py ADDRESS` serves the same targets as our server."""

import asyncio
import socket
import sys

from aiohttp import web

import address


async def hello(_):
    return web.Response(body=b'hello, world')


async def large(_):
    return web.Response(body=address.large())


async def chunks(request):
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    for word in [b'one', b'two', b'three']:
        await response.write(word)
    await response.write_eof()
    return response


async def echo(request):
    response = web.StreamResponse()
    if request.content_length is None:
        response.enable_chunked_encoding()
    else:
        response.content_length = request.content_length
    await response.prepare(request)
    async for piece in request.content.iter_any():
        await response.write(piece)
    await response.write_eof()
    return response


async def main():
    app = web.Application(client_max_size=4 << 20)
    app.add_routes([web.get('/hello', hello), web.get('/large', large), web.get('/chunks', chunks)])
    app.add_routes([web.post('/echo', echo)])
    family, where = address.parse(sys.argv[1])
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.bind(where)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    address.announce(listener.getsockname())
    await asyncio.get_running_loop().run_in_executor(None, address.until_stdin_ends)
    await runner.cleanup()


asyncio.run(main())
