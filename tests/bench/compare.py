#!/usr/bin/env python3
"""conure beside its peers on this machine: rounds in turns, medians, ratios, a table and a plot.

What is compared, and what is not measured, is in the README of this folder. Owner: tests/bench.
"""
import argparse
import itertools
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import servers

KEYS = 10000


class Case:
    """One kind of load. `rate`: requests due in a second; 0: as fast as they are answered."""

    def __init__(self, nodes, operation, connections, value_bytes=100, rate=0):
        self.nodes, self.operation, self.connections = nodes, operation, connections
        self.value_bytes, self.rate = value_bytes, rate
        self.name = f"{nodes} node{'s' * (nodes > 1)}, {operation}, {connections} conn., {value_bytes} B" + (
            f", {rate}/s" if rate else "")


def all_cases():
    one = [Case(1, operation, connections) for connections in (1, 16, 64, 256) for operation in ("put", "get")]
    one += [Case(1, operation, 64) for operation in ("stale", "mixed")]
    one += [Case(1, operation, 64, 4096) for operation in ("put", "get")]
    one += [Case(1, operation, 64, 100, 2000) for operation in ("put", "get")]
    three = [Case(3, operation, connections) for connections in (1, 64, 256) for operation in ("put", "get")]
    three += [Case(3, "stale", 64), Case(3, "mixed", 64), Case(3, "put", 64, 4096), Case(3, "put", 64, 100, 1000)]
    return one + three


def start(nodes, folder, build, wanted):
    """The servers of one size; each has the keys. What is not installed is left out, and said."""
    made = []
    for kind in servers.ALL:
        if nodes > kind.nodes_most or not re.fullmatch(wanted, kind.name):
            continue
        if kind.program and not shutil.which(kind.program):
            print(f"{kind.name}: {kind.program} is not installed; left out", file=sys.stderr)
            continue
        made.append(kind(folder, nodes, build))
    return made


def load(server, build, *more):
    command = [os.path.join(build, "tests/bench/bench_load"), "--dialect", server.dialect, "--address", server.address,
               "--keys", str(KEYS), *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if not done.stdout:
        raise RuntimeError(f"{server.name}: {' '.join(command)} ended with {done.returncode}")
    return json.loads(done.stdout)


def measure(server, case, seconds, build):
    cpu, disk, counters = server.cpu_s(), server.disk_bytes(), server.counters()
    result = load(server, build, "--operation", case.operation, "--connections", str(case.connections), "--seconds",
                  str(seconds), "--value-bytes", str(case.value_bytes), "--rate", str(case.rate))
    count = max(1, result["good"])
    result["cpu_us"] = {name: (used - cpu.get(name, 0)) * 1e6 / count for name, used in server.cpu_s().items()}
    result["cpu_us_all"] = sum(result["cpu_us"].values())
    result["disk_bytes"] = (server.disk_bytes() - disk) / count
    for name, value in server.counters().items():
        result[name] = (value - counters[name]) * 1000 / count
    return result


def fdatasync_p50_us(folder):
    """4 KiB appended to a file that has its blocks, and synced."""
    path, times, block = os.path.join(folder, "probe"), [], os.urandom(4096)
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(fd, bytes(4096 * 256))
    os.fsync(fd)
    for i in range(256):
        begun = time.perf_counter()
        os.pwrite(fd, block, i * 4096)
        os.fdatasync(fd)
        times.append((time.perf_counter() - begun) * 1e6)
    os.close(fd)
    os.unlink(path)
    return statistics.median(times)


# ---- the table ----

def middle(results, name):
    values = [result[name] for result in results if name in result]
    return (statistics.median(values), min(values), max(values)) if values else None


def milliseconds(results, name):
    return f"{middle(results, name)[0] / 1000:.2f}"


def row(peer, results, own):
    rate, least, most = middle(results, "per_second")
    ratio = statistics.median(mine["per_second"] / theirs["per_second"] for mine, theirs in zip(own, results)
                              if theirs["per_second"])
    cpu = ", ".join(f"{name} {statistics.median(result['cpu_us'].get(name, 0) for result in results):.0f}"
                    for name in sorted(results[0]["cpu_us"], key=lambda name: -results[0]["cpu_us"][name]))
    others = [middle(results, name) for name in ("syncs", "messages", "disk_bytes")]
    bad = sum(result["bad"] + result["unanswered"] for result in results)
    return "| {} | {:,.0f} ({:,.0f}..{:,.0f}) | {} | {} / {} / {} | {:.0f} ({}) | {} | {} |".format(
        peer, rate, least, most, "" if results is own else f"{ratio:.2f}",
        milliseconds(results, "p50_us"), milliseconds(results, "p99_us"), milliseconds(results, "p999_us"),
        middle(results, "cpu_us_all")[0], cpu,
        " | ".join("–" if other is None else f"{other[0]:.0f}" for other in others), bad)


HEAD = ("| server | per second, median (min..max) | conure is × | p50 / p99 / p99.9 ms | CPU µs each, all processes | "
        "log syncs per 1,000 | messages per 1,000 | bytes to disk each | failed |\n|---|---|---|---|---|---|---|---|---|")


def table(results, syncs_us, arguments):
    lines = ["# conure beside its peers", "",
             f"{arguments.rounds} rounds of {arguments.seconds} s in turns; {KEYS:,} keys of 16 bytes; ratios are medians of "
             f"the rounds' ratios. fdatasync of 4 KiB in these rounds: p50 {statistics.median(syncs_us):.0f} µs "
             f"({min(syncs_us):.0f}..{max(syncs_us):.0f})." if syncs_us else ""]
    for case, peers in results.items():
        own = peers.get("conure") or next(iter(peers.values()))
        lines += ["", f"## {case}", "", HEAD] + [row(peer, each, own) for peer, each in peers.items()]
    return "\n".join(lines) + "\n"


# ---- the plot ----

def plot(results, into):
    peers = list(dict.fromkeys(itertools.chain.from_iterable(results.values())))
    data, script = os.path.join(into, "compare.dat"), os.path.join(into, "compare.gp")
    with open(data, "w") as out:
        out.write("\t".join(["case"] + peers) + "\n")
        for case, each in results.items():
            if "/s" in case:
                continue
            rates = [f"{middle(each[peer], 'per_second')[0]:.0f}" if peer in each else "?" for peer in peers]
            out.write("\t".join([case.replace(", 100 B", "")] + rates) + "\n")
    with open(script, "w") as out:
        out.write(f"""set terminal svg size 1400,600 background 'white'
set output '{into}/compare.svg'
set datafile separator tab
set datafile missing '?'
set style data histogram
set style fill solid
set key autotitle columnheader outside
set xtics rotate by -40
set ylabel 'per second'
set bmargin 12
plot for [i=2:{len(peers) + 1}] '{data}' using i:xtic(1)
""")
    if shutil.which("gnuplot"):
        subprocess.run(["gnuplot", script], check=True)
        return f"{into}/compare.svg"
    return f"{script} (gnuplot is not installed)"


# ---- the run ----

def run(arguments, folder):
    cases = [case for case in all_cases() if re.search(arguments.cases, case.name)]
    if not cases:
        sys.exit(f"compare.py: no case matches {arguments.cases!r}; there are: " + "; ".join(c.name for c in all_cases()))
    results, syncs_us = {case.name: {} for case in cases}, []
    steps, step = len(cases) * arguments.rounds, 0
    for nodes in sorted({case.nodes for case in cases}):
        made = start(nodes, os.path.join(folder, str(nodes)), arguments.build, arguments.peers)
        try:
            for server in made:
                if not server.is_ceiling:
                    load(server, arguments.build, "--fill")
            for number in range(arguments.rounds):
                syncs_us.append(fdatasync_p50_us(folder))
                for case in (case for case in cases if case.nodes == nodes):
                    step += 1
                    print(f"{step}/{steps} round {number + 1}: {case.name}", file=sys.stderr)
                    turn = number % len(made)
                    for server in made[turn:] + made[:turn]:
                        if case.operation != "stale" or server.has_stale:
                            results[case.name].setdefault(server.name, []).append(
                                measure(server, case, arguments.seconds, arguments.build))
        finally:
            for server in made:
                server.stop()
    order = [kind.name for kind in servers.ALL]
    return {case: {peer: each[peer] for peer in order if peer in each} for case, each in results.items()}, syncs_us


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build", help="the build folder (build)")
    parser.add_argument("--into", help="where the table and the plot go (the build folder's bench/)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each load in each round (3)")
    parser.add_argument("--cases", default="", help="only cases with this pattern in their names")
    parser.add_argument("--peers", default=".*", help="only servers whose name is this pattern")
    parser.add_argument("--folder", help="where the servers' data goes (a new folder on the disk of the build)")
    arguments = parser.parse_args()
    arguments.build = os.path.abspath(arguments.build)
    into = os.path.abspath(arguments.into or os.path.join(arguments.build, "bench"))
    os.makedirs(into, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="compare-", dir=arguments.folder or arguments.build)
    try:
        results, syncs_us = run(arguments, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = table(results, syncs_us, arguments)
    with open(os.path.join(into, "compare.md"), "w") as out:
        out.write(text)
    with open(os.path.join(into, "compare.json"), "w") as out:
        json.dump({"fdatasync_p50_us": syncs_us, "cases": results}, out)
    print(text)
    print(f"{into}/compare.md, compare.json; plot: {plot(results, into)}", file=sys.stderr)


if __name__ == "__main__":
    main()
