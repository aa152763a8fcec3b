"""sseclient: `events_client.py ADDRESS` reads the events, and prints a line for each."""

import contextlib
import sys

import requests
import sseclient

session = requests.Session()
# Proxies from the environment are ignored.
session.trust_env = False
# sseclient prints the reason when a connection ends. This goes to stderr.
with contextlib.redirect_stdout(sys.stderr):
    for event in sseclient.SSEClient('http://' + sys.argv[1] + '/events', session=session, timeout=20):
        print(event.id, event.data.replace('\n', ' '), file=sys.__stdout__)
        if event.id == '8':
            break
print('skipped sseclient knows no end: it asks again after 204')
