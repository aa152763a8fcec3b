"""What the peers in Python share: addresses in the form that Degu writes, and reports."""

import socket
import sys
import threading


def parse(text):
    """The family, and the address as the socket module takes it."""
    if text.startswith('unix:@'):
        return socket.AF_UNIX, b'\0' + text[6:].encode()
    if text.startswith('unix:'):
        return socket.AF_UNIX, text[5:]
    host, port = text.rsplit(':', 1)
    if host.startswith('['):
        return socket.AF_INET6, (host[1:-1], int(port), 0, 0)
    return socket.AF_INET, (host, int(port))


def announce(address):
    """Says where a server listens."""
    if isinstance(address, bytes):
        text = 'unix:@' + address[1:].decode()
    elif isinstance(address, str):
        text = 'unix:' + address
    else:
        text = ('[{}]:{}' if len(address) == 4 else '{}:{}').format(*address)
    print('listening on', text, flush=True)


def until_stdin_ends():
    sys.stdin.read()


def serve(server):
    """Serves on a server of socketserver until stdin ends."""
    announce(server.socket.getsockname())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    until_stdin_ends()


def large():
    return bytes(n % 251 for n in range(1 << 20))


def same(value, wanted):
    if value != wanted:
        raise AssertionError('{!r:.80} instead of {!r:.80}'.format(value, wanted))


def report(exchanges):
    """Performs each exchange, and prints a line for it. Text in place of an exchange is why it is skipped."""
    for name, exchange in exchanges:
        if isinstance(exchange, str):
            print(name, 'skipped', exchange)
            continue
        try:
            exchange()
        except Exception as error:
            print(name, 'failed', type(error).__name__, repr(str(error)))
        else:
            print(name, 'ok')
