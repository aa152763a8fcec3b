#!/usr/bin/env python3
"""Runs the request cases of the conformance probes with devices, over serial lines or over TCP.

  cases.py line|tcp FOLDER ADDRESS...

The probes are in FOLDER. The devices share the cases and run at the same time, because a device waits during most of a
case. A device has small buffers. Neither side can close a serial line: where a server would close the connection, the
device stays silent. Cases that do not work in this way are left out and listed.
"""
import json
import subprocess
import sys
import tempfile

# The options of the probe. A device serves one connection at a time. On a line, each case ends with a pause, after which
# the device expects a new request. A busy machine may need some seconds for an answer.
OPTIONS = {
    "line": ["--jobs", "1", "--timeout", "5", "--settle", "0.6", "--close-window", "0.6", "--wait-timeout", "1"],
    "tcp": ["--jobs", "1", "--timeout", "5", "--close-window", "5"],
}
# The longest case that the device accepts, and the longest case that is sent over a line. The emulated UART moves about
# 10 KiB a second.
LONGEST_ACCEPTED = {"line": 1024, "tcp": 3072}
LONGEST_ON_LINE = 8 * 1024


def size(data):
    if data is None:
        return 0
    if isinstance(data, str):
        return len(data)
    if isinstance(data, list):
        return sum(map(size, data))
    if "b64" in data:
        return len(data["b64"]) * 3 // 4
    return len(data["repeat"]) * data["times"]


def why_not_on_line(case, expected, length):
    if case.get("half_close"):
        return "a line has no half-close"
    if case.get("slow"):
        return "it waits for a timeout of a socket, which is a pause on a line"
    if "wait" in expected or any(step.get("wait_ms") for step in case.get("steps", [])):
        return "a pause ends the input of a line, and is answered"
    if "trace:^200 O$" in expected:
        return "what was begun and not finished is answered after a pause"
    if length > LONGEST_ON_LINE:
        return f"{length} bytes take too long"
    return None


def why_not(way, case, expected):
    length = size(case.get("bytes")) + sum(size(step.get("bytes")) for step in case.get("steps", []))
    if length > LONGEST_ACCEPTED[way] and any(one.startswith("accept") for one in expected):
        return f"{length} bytes do not fit"
    return why_not_on_line(case, expected, length) if way == "line" else None


def adapt(way, cases):
    kept = []
    for case in cases:
        expected = case["expect"] if isinstance(case["expect"], list) else [case["expect"]]
        reason = why_not(way, case, expected)
        if reason:
            print(f"   left out: {case['name']}: {reason}", flush=True)
            continue
        kept.append(case)
        if way == "line":
            case["may_stay_open"] = True
            open_ones = {"accept-close": "accept", "must-close-after": "accept", "accept-close-or-reject": "accept-or-reject"}
            case["expect"] = [open_ones.get(one, one.replace(" C$", " [OC]$")) for one in expected]
    return kept


def main():
    way, folder, *addresses = sys.argv[1:]
    with open(f"{folder}/server_cases.json", encoding="utf-8") as file:
        document = json.load(file)
    cases, probes = adapt(way, document["cases"]), []
    with tempfile.TemporaryDirectory() as shares:
        for number, address in enumerate(addresses):
            share = f"{shares}/{number}.json"
            with open(share, "w", encoding="utf-8") as file:
                json.dump({**document, "cases": cases[number::len(addresses)]}, file)
            probe = [sys.executable, f"{folder}/probe_server.py", "--addr", address, "--cases", share, *OPTIONS[way]]
            probes.append(subprocess.Popen(probe, stdout=subprocess.PIPE, text=True))
        outputs = [probe.communicate()[0] for probe in probes]
    print(*outputs, sep="", end="")
    sys.exit(any(probe.returncode for probe in probes))


main()
