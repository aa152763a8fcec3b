"""A bad cable between two interfaces, for a kernel without netem. It loses, delays and reorders packets.

usage: cable.py PORT PORT. It prints `ready`, and ends at EOF on stdin. Packets keep the header with the work that is left to
the receiving interface (checksums, segmentation). So they are as large as between two hosts.
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
# The share of the packets that are not delayed. They overtake the packets before them.
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
            # The number is unique, so packets with the same time are never compared.
            heapq.heappush(on_the_way, (time.monotonic() + delay, number, other[port], packet))
            number += 1
        while on_the_way and on_the_way[0][0] <= time.monotonic():
            _, _, port, packet = heapq.heappop(on_the_way)
            try:
                port.send(packet)
            except OSError:
                # The queue is full, so the packet is lost.
                pass


main()
