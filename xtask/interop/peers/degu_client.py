"""The client of Degu 0.18: `degu_client.py ADDRESS` performs the exchanges with our server."""

import sys

from degu.base import bodies
from degu.client import Client

import address

_, WHERE = address.parse(sys.argv[1])
CLIENT = Client(WHERE)
NUMBERED = [(('n', '1'), b'some'), (('n', '2'), b' '), (('n', '3'), b'text')]
# The caller of Degu 0.18 sends the last chunk itself.
END = (None, b'')
PLAIN = [(None, data) for _, data in NUMBERED]


def hello(connection):
    response = connection.get('/hello', {})
    address.same((response.status, response.body.read()), (200, b'hello, world'))


def echo(connection, body, wanted):
    response = connection.post('/echo', {}, body)
    address.same((response.status, response.body.read()), (200, wanted))


def echo_chunks(chunks):
    chunks = chunks + [END]
    response = CLIENT.connect().post('/echo', {}, bodies.ChunkedBodyIter(chunks))
    address.same((response.status, list(response.body)), (200, chunks))


def get():
    hello(CLIENT.connect())


def head():
    response = CLIENT.connect().head('/hello', {})
    address.same((response.status, response.headers['content-length'], response.body), (200, 12, None))


def post():
    echo(CLIENT.connect(), b'some text', b'some text')


def chunked():
    echo_chunks(PLAIN)


def large():
    response = CLIENT.connect().get('/large', {})
    address.same((response.status, response.body.read()), (200, address.large()))
    echo(CLIENT.connect(), address.large(), address.large())


def keep_alive():
    connection = CLIENT.connect()
    for _ in range(3):
        hello(connection)
        echo(connection, b'some text', b'some text')
        connection.head('/hello', {})
    response = connection.get('/requests', {})
    address.same((response.status, response.body.read(), connection.closed), (200, b'10', False))


def missing():
    response = CLIENT.connect().get('/missing', {})
    address.same(response.status, 404)


def chunks():
    response = CLIENT.connect().get('/chunks', {})
    address.same((response.status, response.body.chunked, response.body.read()), (200, True, b'onetwothree'))


def extensions():
    response = CLIENT.connect().get('/chunks', {})
    words = [(('n', '1'), b'one'), (('n', '2'), b'two'), (('n', '3'), b'three'), END]
    address.same(list(response.body), words)
    echo_chunks(NUMBERED)


address.report([
    ('get', get),
    ('head', head),
    ('post', post),
    ('chunked', chunked),
    ('large', large),
    ('keep-alive', keep_alive),
    ('close', 'the client of Degu 0.18 cannot send `connection: close`'),
    ('404', missing),
    ('chunks', chunks),
    ('extensions', extensions),
])
