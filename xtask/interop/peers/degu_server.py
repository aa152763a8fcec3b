"""The server of Degu 0.18: `degu_server.py ADDRESS` serves what our server does."""

import sys
import threading

from degu.server import Server

import address


def app(session, request, api):
    path = '/' + '/'.join(request.path)
    if request.method == 'POST' and path == '/echo':
        # What a body of chunks yields may be sent as it is: each with its extension.
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
    # With None in place of the body no framing would be sent, which means a body up to the end of the connection
    # (RFC 9112 section 6.3), and the connection is left open.
    return (404, 'Not Found', {}, b'')


def main():
    _, where = address.parse(sys.argv[1])
    server = Server(where, app)
    address.announce(server.address)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address.until_stdin_ends()


main()
