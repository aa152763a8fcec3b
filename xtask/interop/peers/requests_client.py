"""requests: `requests_client.py ADDRESS` performs the exchanges with our server. Over Unix sockets,
requests-unixsocket connects."""

import socket
import sys
import urllib.parse

import requests
import requests_unixsocket

import address

FAMILY, WHERE = address.parse(sys.argv[1])
if FAMILY == socket.AF_UNIX:
    NAME = WHERE.decode() if isinstance(WHERE, bytes) else WHERE
    URL = 'http+unix://' + urllib.parse.quote(NAME, safe='')
else:
    URL = 'http://' + sys.argv[1]


def session():
    found = requests_unixsocket.Session() if FAMILY == socket.AF_UNIX else requests.Session()
    # Proxies from the environment are ignored.
    found.trust_env = False
    return found


def ask(connection, method, target, **rest):
    return connection.request(method, URL + target, timeout=20, **rest)


def hello(connection, **rest):
    response = ask(connection, 'GET', '/hello', **rest)
    address.same((response.status_code, response.content), (200, b'hello, world'))
    return response


def echo(connection, body, wanted):
    response = ask(connection, 'POST', '/echo', data=body)
    address.same((response.status_code, response.content), (200, wanted))
    return response


def head():
    response = ask(session(), 'HEAD', '/hello')
    address.same((response.status_code, response.content, response.headers['content-length']), (200, b'', '12'))


def chunked():
    response = echo(session(), iter([b'some', b' ', b'text']), b'some text')
    address.same(response.headers['transfer-encoding'], 'chunked')


def large():
    response = ask(session(), 'GET', '/large')
    address.same((response.status_code, response.content), (200, address.large()))
    echo(session(), address.large(), address.large())
    pieces = (address.large()[n:n + 60000] for n in range(0, 1 << 20, 60000))
    echo(session(), pieces, address.large())


def keep_alive():
    connection = session()
    if FAMILY == socket.AF_UNIX:
        # requests-unixsocket keeps one connection for each URL, not for each server.
        for n in range(1, 11):
            address.same(ask(connection, 'GET', '/requests').content, b'%d' % n)
        return
    for _ in range(3):
        hello(connection)
        echo(connection, b'some text', b'some text')
        ask(connection, 'HEAD', '/hello')
    address.same(ask(connection, 'GET', '/requests').content, b'10')


def close():
    response = hello(session(), headers={'connection': 'close'})
    address.same(response.headers['connection'], 'close')


def chunks():
    response = ask(session(), 'GET', '/chunks')
    address.same((response.content, response.headers['transfer-encoding']), (b'onetwothree', 'chunked'))


address.report([
    ('get', lambda: hello(session())),
    ('head', head),
    ('post', lambda: echo(session(), b'some text', b'some text')),
    ('chunked', chunked),
    ('large', large),
    ('keep-alive', keep_alive),
    ('close', close),
    ('404', lambda: address.same(ask(session(), 'GET', '/missing').status_code, 404)),
    ('chunks', chunks),
    ('extensions', 'requests drops them'),
])
