#!/usr/bin/env python3
"""What time and size do to a node: `soak` is half an hour of mixed load beside the do-nothing responder, `growth` puts
with ten million keys beside ten thousand, and memory with a million beside etcd's. Owner: tests/bench.
"""
import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time

import compare
import servers

SLICE_S, RESPONDER_S = 15, 3
PARTS = 6  # the soak's table
GROWTH_ROUNDS, GROWTH_S = 5, 5
FEW, MANY, MEMORY = 10_000, 10_000_000, 1_000_000
SAYS_S = 60


def say(text):
    print(text, file=sys.stderr)


def run_load(server, build, operation, seconds, keys=FEW):
    result = compare.load(server, build, "--operation", operation, "--connections", "64", "--seconds", str(seconds),
                          "--keys", str(keys))
    if result["bad"] or result["unanswered"]:
        raise RuntimeError(f"{server.name}: {result['bad']} failed, {result['unanswered']} unanswered")
    return result["per_second"]


def soak(folder, arguments):
    """Ratios to the responder in the same minute: the machine itself drifts."""
    node, responder = (kind(folder, 1, arguments.build) for kind in (servers.Conure, servers.Responder))
    rows, begun, said = [], time.monotonic(), 0
    try:
        compare.load(node, arguments.build, "--fill")
        while time.monotonic() - begun < arguments.minutes * 60:
            rate = run_load(node, arguments.build, "mixed", SLICE_S)
            ceiling = run_load(responder, arguments.build, "mixed", RESPONDER_S)
            rows.append((rate, rate / ceiling, *node.memory_kib(), node.descriptors()))
            if time.monotonic() - said > SAYS_S:
                said = time.monotonic()
                say(f"{(said - begun) / 60:.0f} min: {rate:,.0f}/s, {rate / ceiling:.3f} of the responder, "
                    f"{rows[-1][2] / 1024:.0f} MiB, {rows[-1][4]} descriptors")
    finally:
        node.stop(), responder.stop()
    print("| part | per second | of the responder | resident MiB | without mapped files | descriptors |\n|---|---|---|---|---|---|")
    parts = [rows[len(rows) * i // PARTS:len(rows) * (i + 1) // PARTS] for i in range(PARTS)]
    for number, part in enumerate(part for part in parts if part):
        middle = [statistics.median(column) for column in zip(*part)]
        print(f"| {number + 1} of {PARTS} | {middle[0]:,.0f} | {middle[1]:.3f} | {middle[2] / 1024:.1f} | "
              f"{middle[3] / 1024:.1f} | {middle[4]:.0f} |")


def growth(folder, arguments):
    few, many = (servers.Conure(os.path.join(folder, name), 1, arguments.build) for name in ("few", "many"))
    rates = []
    try:
        for server, keys in ((few, FEW), (many, MANY)):
            say(f"{keys:,} keys")
            compare.load(server, arguments.build, "--fill", "--keys", str(keys))
        for number in range(GROWTH_ROUNDS):
            say(f"round {number + 1}")
            for operation in ("put", "get"):
                pair = [run_load(server, arguments.build, operation, GROWTH_S, keys)
                        for server, keys in ((few, FEW), (many, MANY))]
                rates.append((operation, *pair))
    finally:
        few.stop(), many.stop()
    for operation in ("put", "get"):
        pairs = [(a, b) for name, a, b in rates if name == operation]
        ratios = [b / a for a, b in pairs]
        print(f"{operation}: {statistics.median(a for a, _ in pairs):,.0f}/s with {FEW:,} keys, "
              f"{statistics.median(b for _, b in pairs):,.0f}/s with {MANY:,}: {statistics.median(ratios):.2f}x "
              f"({min(ratios):.2f}..{max(ratios):.2f})")


def memory(folder, arguments):
    for kind in (servers.Conure, servers.Etcd3):
        if kind.program and not shutil.which(kind.program):
            say(f"{kind.program} is not installed; left out")
            continue
        server = kind(folder, 1, arguments.build)
        try:
            compare.load(server, arguments.build, "--fill", "--keys", str(MEMORY))
            run_load(server, arguments.build, "mixed", GROWTH_S, MEMORY)
            resident, own = server.memory_kib()
            print(f"{server.name}: {MEMORY:,} keys, {resident / 1024:.0f} MiB resident, {own / 1024:.0f} without mapped files")
        finally:
            server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["soak", "growth", "memory"])
    parser.add_argument("--minutes", type=float, default=30, help="of the soak (30)")
    parser.add_argument("--build", default="build", help="the build folder (build)")
    arguments = parser.parse_args()
    arguments.build = os.path.abspath(arguments.build)
    folder = tempfile.mkdtemp(prefix="endurance-", dir=arguments.build)
    try:
        {"soak": soak, "growth": growth, "memory": memory}[arguments.what](folder, arguments)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
