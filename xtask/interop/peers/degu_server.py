"""The server of Degu 0.18: `degu_server.py ADDRESS` serves the same targets as our server."""

import sys
import threading

from degu.server import Server

import address


def app(session, request, api):
    path = '/' + '/'.join(request.path)
    if request.method == 'POST' and path == '/echo':
        # A body of chunks yields each chunk with its extension. It can be sent back unchanged.
        if request.body.chunked:
            return (200, 'OK', {}, api.ChunkedBodyIter(list(request.body)))
        return (200, 'OK', {}, request.body.read())
    if request.method == 'HEAD' and path == '/hello':
        return (200, 'OK', {'content-length': 12}, None)
    if path == '/hello':
        return (200, 'OK', {}, b'hello, world')
    if path == '/large':
        return (200, 'OK', {}, address.large())
    if path == '/chunks':
        chunks = [(('n', str(n)), word) for n, word in enumerate([b'one', b'two', b'three'], 1)]
        return (200, 'OK', {}, api.ChunkedBodyIter(chunks + [(None, b'')]))
    # With None as the body, Degu 0.18 sends no framing. That means a body up to the end of the connection
    # (RFC 9112 section 6.3), but Degu 0.18 leaves the connection open.
    return (404, 'Not Found', {}, b'')


def main():
    _, where = address.parse(sys.argv[1])
    server = Server(where, app)
    address.announce(server.address)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address.until_stdin_ends()


main()
