"""Python's http.client: `http_client.py ADDRESS` performs the exchanges with our server."""

import http.client
import socket
import sys

import address

FAMILY, WHERE = address.parse(sys.argv[1])


class Connection(http.client.HTTPConnection):
    def __init__(self):
        super().__init__('localhost', timeout=20)

    def connect(self):
        self.sock = socket.socket(FAMILY, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(WHERE)


def ask(connection, method, target, **rest):
    connection.request(method, target, **rest)
    response = connection.getresponse()
    return response, response.read()


def hello(connection, **rest):
    response, body = ask(connection, 'GET', '/hello', **rest)
    address.same((response.status, body), (200, b'hello, world'))
    return response


def echo(connection, body, data, **rest):
    response, received = ask(connection, 'POST', '/echo', body=body, **rest)
    address.same((response.status, received), (200, data))
    return response


def get():
    hello(Connection())


def head():
    response, body = ask(Connection(), 'HEAD', '/hello')
    address.same((response.status, body, response.getheader('content-length')), (200, b'', '12'))


def post():
    echo(Connection(), b'some text', b'some text')


def chunked():
    response = echo(Connection(), iter([b'some', b' ', b'text']), b'some text', encode_chunked=True,
                    headers={'transfer-encoding': 'chunked'})
    address.same(response.getheader('transfer-encoding'), 'chunked')


def large():
    response, body = ask(Connection(), 'GET', '/large')
    address.same((response.status, body), (200, address.large()))
    echo(Connection(), address.large(), address.large())


def keep_alive():
    connection = Connection()
    for _ in range(3):
        hello(connection)
        echo(connection, b'some text', b'some text')
        ask(connection, 'HEAD', '/hello')
    response, body = ask(connection, 'GET', '/requests')
    address.same((response.status, body), (200, b'10'))


def close():
    connection = Connection()
    response = hello(connection, headers={'connection': 'close'})
    address.same(response.getheader('connection'), 'close')
    address.same(connection.sock, None)


def missing():
    response, _ = ask(Connection(), 'GET', '/missing')
    address.same(response.status, 404)


def chunks():
    response, body = ask(Connection(), 'GET', '/chunks')
    address.same((body, response.getheader('transfer-encoding')), (b'onetwothree', 'chunked'))


address.report([
    ('get', get),
    ('head', head),
    ('post', post),
    ('chunked', chunked),
    ('large', large),
    ('keep-alive', keep_alive),
    ('close', close),
    ('404', missing),
    ('chunks', chunks),
    ('extensions', 'http.client drops them'),
])
