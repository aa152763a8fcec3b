"""A bad cable between two interfaces, where the kernel has no netem: loses, delays and reorders packets.

usage: cable.py PORT PORT. Says `ready`, and ends when stdin does. Packets pass as the interfaces hand them over, with
what is still to be done about them (checksums, segments), so that there are as large ones as between two hosts.
"""

import heapq
import random
import select
import socket
import sys
import time

LOSS = 0.02
DELAY = 0.005
JITTER = 0.002
# So many are not delayed, and overtake those before them.
HASTE = 0.25

SOL_PACKET = 263
PACKET_VNET_HDR = 15
ALL_PROTOCOLS = 3
LARGEST = 1 << 17


def open_port(name):
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
    port.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    port.bind((name, ALL_PROTOCOLS))
    return port


def main():
    first, second = (open_port(name) for name in sys.argv[1:])
    other = {first: second, second: first}
    on_the_way = []
    number = 0
    print("ready", flush=True)
    while True:
        wait = max(0, on_the_way[0][0] - time.monotonic()) if on_the_way else None
        readable, _, _ = select.select([first, second, sys.stdin], [], [], wait)
        if sys.stdin in readable:
            return
        for port in readable:
            packet, (_, _, kind, *_) = port.recvfrom(LARGEST)
            if kind == socket.PACKET_OUTGOING or random.random() < LOSS:
                continue
            delay = 0 if random.random() < HASTE else random.uniform(DELAY - JITTER, DELAY + JITTER)
            # The number keeps packets of one moment from being compared.
            heapq.heappush(on_the_way, (time.monotonic() + delay, number, other[port], packet))
            number += 1
        while on_the_way and on_the_way[0][0] <= time.monotonic():
            _, _, port, packet = heapq.heappop(on_the_way)
            try:
                port.send(packet)
            except OSError:
                # A full queue is one more way to lose it.
                pass


main()
