"""Python's http.server: `http_server.py ADDRESS` serves the same targets as our server, over HTTP/1.1; `http_server.py
--files FOLDER ADDRESS` serves the files of a folder as `python3 -m http.server` does, over HTTP/1.0."""

import functools
import http.server
import socketserver
import sys

import address


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        if self.path == '/hello':
            self.answer(200, b'hello, world')
        elif self.path == '/large':
            self.answer(200, address.large())
        elif self.path == '/chunks':
            self.send_response(200)
            self.send_header('Transfer-Encoding', 'chunked')
            self.end_headers()
            for n, word in enumerate([b'one', b'two', b'three'], 1):
                self.wfile.write(b'%x;n=%d\r\n%s\r\n' % (len(word), n, word))
            self.wfile.write(b'0\r\n\r\n')
        else:
            self.answer(404, b'there is no such thing')

    do_HEAD = do_GET

    def do_POST(self):
        if self.headers.get('Transfer-Encoding') == 'chunked':
            body = b''.join(self.chunks())
        else:
            body = self.rfile.read(int(self.headers['Content-Length']))
        self.answer(200, body)

    def chunks(self):
        while True:
            size = int(self.rfile.readline().split(b';')[0], 16)
            data = self.rfile.read(size)
            same = self.rfile.readline()
            assert same == b'\r\n', same
            if size == 0:
                return
            yield data

    def answer(self, status, body):
        self.send_response(status)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    def address_string(self):
        # The peer of a Unix socket has no address.
        return 'peer'

    def log_message(self, *_):
        pass


class Files(http.server.SimpleHTTPRequestHandler):
    address_string = Handler.address_string
    log_message = Handler.log_message


class Threads(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True


def main():
    handler = Handler
    if sys.argv[1] == '--files':
        handler = functools.partial(Files, directory=sys.argv[2])
    Threads.address_family, where = address.parse(sys.argv[-1])
    address.serve(Threads(where, handler))


main()
