"""websockets' server: `websocket_server.py ADDRESS` echoes messages at /socket."""

import socket
import sys
import threading

from websockets.sync import server

import address


def echo(connection):
    for message in connection:
        connection.send(message)


def refuse_others(connection, request):
    if request.path != '/socket':
        return connection.respond(404, 'there is no such thing')
    return None


FAMILY, WHERE = address.parse(sys.argv[1])
LISTENER = socket.socket(FAMILY, socket.SOCK_STREAM)
LISTENER.bind(WHERE)
LISTENER.listen()
SERVER = server.serve(echo, sock=LISTENER, process_request=refuse_others)
threading.Thread(target=SERVER.serve_forever, daemon=True).start()
address.announce(LISTENER.getsockname())
address.until_stdin_ends()
