"""Both ends of Degu 0.18: `degu018.py serve ADDRESS CONTESTANT`, or `degu018.py client ADDRESS CONTESTANT`, which prints
`TRIPS NANOSECONDS`. The options are those of the other ends; only `--millis` has an effect. The average length of the
messages is the same as that of the other ends.
"""

import os
import random
import sys
import threading
import time

from degu.client import Client
from degu.server import Server

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../interop/peers'))
import address


def app(session, request, api):
    return (200, 'OK', {}, request.body.read())


def serve(where):
    # The largest number of requests that it accepts over one connection.
    server = Server(where, app, max_requests=75000)
    address.announce(server.address)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address.until_stdin_ends()


def measure(client, posts, seconds):
    connection, trips, start = client.connect(), 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for path, headers, body in posts:
            response = connection.post(path, headers, body)
            assert response.status == 200 and len(response.body.read()) == len(body)
        trips += len(posts)
    return trips, int((time.perf_counter() - start) * 1e9)


def ask(where, seconds):
    dice = random.Random(1)
    posts = [('/device/{:x}'.format(dice.randrange(1 << dice.randrange(8, 24))),
              {'x-trace': '{:08x}'.format(dice.randrange(1 << 32))},
              bytes(dice.randrange(97, 123) for _ in range(dice.randrange(48, 169)))) for _ in range(64)]
    measure(Client(where), posts, seconds / 4)
    print(*measure(Client(where), posts, seconds))


_, WHERE = address.parse(sys.argv[2])
if sys.argv[1] == 'serve':
    serve(WHERE)
else:
    ask(WHERE, next(int(option[9:]) / 1000 for option in sys.argv if option.startswith('--millis=')))
