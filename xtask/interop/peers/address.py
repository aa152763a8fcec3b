"""Parts that the peers in Python share: addresses in Degu's form, and reports."""

import socket
import sys
import threading


def parse(text):
    """Returns the family of an address, and the address in the form of the socket module."""
    if text.startswith('unix:@'):
        return socket.AF_UNIX, b'\0' + text[6:].encode()
    if text.startswith('unix:'):
        return socket.AF_UNIX, text[5:]
    host, port = text.rsplit(':', 1)
    if host.startswith('['):
        return socket.AF_INET6, (host[1:-1], int(port), 0, 0)
    return socket.AF_INET, (host, int(port))


def announce(address):
    """Prints the address of a listening server."""
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
    """Runs a server of socketserver until EOF on stdin."""
    announce(server.socket.getsockname())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    until_stdin_ends()


def large():
    return bytes(n % 251 for n in range(1 << 20))


def same(value, wanted):
    if value != wanted:
        raise AssertionError('{!r:.80} instead of {!r:.80}'.format(value, wanted))


def report(exchanges):
    """Performs each exchange, and prints a line for it. A text in place of an exchange is the reason why it is skipped."""
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
