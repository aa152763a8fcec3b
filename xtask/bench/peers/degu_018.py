"""Degu 0.18 as a contestant: as degu-bench, `degu_018.py server|client degu-0.18 ADDRESS [--cores=N,N] [--millis=N]`."""

import os
import sys
import threading
import time

from degu.client import Client
from degu.server import Server

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'interop', 'peers'))

import address

BODY = (
    b'{"device":"boiler-3","seq":18480,"temperature":61.25,"pressure":1.73,"valves":["open","open","shut"],"ok":1}'
)


def app(session, request, api):
    return (200, 'OK', {}, request.body.read())


def serve(where):
    # By default it closes a connection after 1,000 requests; this is the most that it can be told.
    server = Server(where, app, max_requests=75000)
    address.announce(server.address)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address.until_stdin_ends()


def trips(connection, count):
    for _ in range(count):
        response = connection.post('/example', {}, BODY)
        if response.status != 200 or len(response.body.read()) != len(BODY):
            raise AssertionError('another response than expected')


def measure(where, seconds):
    """Warms up for a quarter of the time, then makes trips for as long, with a look at the clock now and then."""
    connection = Client(where).connect()
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds / 4:
        trips(connection, 8)
    count, begun = 0, time.perf_counter()
    # The server closes the connection after so many.
    while time.perf_counter() - begun < seconds and count < 50000:
        trips(connection, 32)
        count += 32
    print(count, round((time.perf_counter() - begun) * 1e9))
    connection.close()


def main():
    words = [word for word in sys.argv[1:] if not word.startswith('--')]
    options = dict(word[2:].split('=') for word in sys.argv[1:] if word.startswith('--'))
    if 'cores' in options:
        os.sched_setaffinity(0, [int(core) for core in options['cores'].split(',')])
    role, _, where = words
    _, where = address.parse(where)
    if role == 'server':
        serve(where)
    else:
        measure(where, int(options['millis']) / 1000)


main()
