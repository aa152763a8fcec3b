"""sseclient: `events_client.py URL` reads the feed, and prints a line for each event."""

import contextlib
import sys

import requests
import sseclient

session = requests.Session()
# No proxy of the environment.
session.trust_env = False
# It prints why a connection ended.
with contextlib.redirect_stdout(sys.stderr):
    for event in sseclient.SSEClient(sys.argv[1] + '/events', session=session, timeout=20):
        print(event.id, event.data.replace('\n', ' '), file=sys.__stdout__)
        if event.id == '8':
            break
print('skipped sseclient knows no end: it asks again after 204')
