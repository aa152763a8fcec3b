#!/usr/bin/env python3
"""Adapts the cases of a conformance probe to a serial line.

  line_cases.py CASES.json ADAPTED.json

Nobody can close a serial line, so a server that closes is one that stays silent here; and the device has small buffers. What
a line cannot have is left out, and listed.
"""
import json
import sys

# The longest case that the device accepts, and the longest that is sent: the emulated UART moves some 10 KiB a second.
LONGEST_ACCEPTED, LONGEST = 1024, 8 * 1024


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


def why_not(case, expected):
    length = size(case.get("bytes")) + sum(size(step.get("bytes")) for step in case.get("steps", []))
    if case.get("half_close"):
        return "a line has no half-close"
    if case.get("slow"):
        return "it waits for a timeout of a socket, which is a pause on a line"
    if "wait" in expected or any(step.get("wait_ms") for step in case.get("steps", [])):
        return "a pause ends the input of a line, and is answered"
    if "trace:^200 O$" in expected:
        return "what was begun and not finished is answered after a pause"
    if length > LONGEST:
        return f"{length} bytes take too long"
    if length > LONGEST_ACCEPTED and any(one.startswith("accept") for one in expected):
        return f"{length} bytes do not fit"
    return None


def main():
    source, target = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        document = json.load(file)
    kept = []
    for case in document["cases"]:
        expected = case["expect"] if isinstance(case["expect"], list) else [case["expect"]]
        reason = why_not(case, expected)
        if reason:
            print(f"   left out: {case['name']}: {reason}")
            continue
        case["may_stay_open"] = True
        open_ones = {"accept-close": "accept", "must-close-after": "accept", "accept-close-or-reject": "accept-or-reject"}
        case["expect"] = [open_ones.get(one, one.replace(" C$", " [OC]$")) for one in expected]
        kept.append(case)
    document["cases"] = kept
    with open(target, "w", encoding="utf-8") as file:
        json.dump(document, file)


main()
