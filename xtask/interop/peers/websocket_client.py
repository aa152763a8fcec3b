"""websockets' client: `websocket_client.py ADDRESS` performs the exchanges with `terminal`."""

import socket
import sys

from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import connect

import address


def opened():
    family, where = address.parse(sys.argv[1])
    stream = socket.socket(family, socket.SOCK_STREAM)
    stream.settimeout(20)
    stream.connect(where)
    return connect('ws://localhost/socket', sock=stream, close_timeout=20)


def echo(connection, message):
    connection.send(message)
    address.same(connection.recv(timeout=20), message)


def text():
    with opened() as connection:
        for message in ['some text', '', 'more']:
            echo(connection, message)


def binary():
    with opened() as connection:
        echo(connection, address.large())
        # The list is sent as one message in fragments.
        connection.send([address.large()[n:n + 60000] for n in range(0, 1 << 20, 60000)])
        address.same(connection.recv(timeout=20), address.large())


def ping():
    with opened() as connection:
        if not connection.ping(b'some text').wait(20):
            raise TimeoutError('there is no pong')


def closing():
    connection = opened()
    connection.close()
    address.same(connection.close_code, 1000)
    try:
        connection.recv(timeout=20)
    except ConnectionClosedOK:
        pass


address.report([('text', text), ('binary', binary), ('ping', ping), ('closing', closing)])
