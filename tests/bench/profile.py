#!/usr/bin/env python3
"""What a PUT and a GET cost in each daemon of a node: CPU, system calls and switches to each request, counted by the
kernel (Debian: linux-perf; root) while 64 connections ask. Prints Markdown. Owner: tests/bench.
"""
import argparse
import os
import shutil
import subprocess
import tempfile
import threading
import time

import compare
import servers

SETTLE_S, COUNTED_S = 1, 3
CALLS = ("recvfrom", "sendmsg", "epoll_wait", "epoll_ctl", "futex", "read", "write", "readv", "pwritev", "fdatasync")
EVENTS = ["raw_syscalls:sys_enter", *(f"syscalls:sys_enter_{call}" for call in CALLS), "context-switches"]

TITLES = {"cpu_us": "CPU µs", EVENTS[0]: "system calls", EVENTS[-1]: "context switches"}


def count(pid):
    """Events of a process and its threads, in COUNTED_S seconds."""
    done = subprocess.run(["perf", "stat", "-x", ";", "-e", ",".join(EVENTS), "-p", str(pid), "--", "sleep", str(COUNTED_S)],
                          stderr=subprocess.PIPE, text=True, check=True)
    rows = (line.split(";") for line in done.stderr.splitlines())
    return {row[2]: float(row[0]) for row in rows if len(row) > 3 and row[0].isdigit()}


def measure(node, pid, operation, arguments):
    """Events and CPU to each request."""
    result = {}
    seconds = SETTLE_S + COUNTED_S + 1
    load = threading.Thread(target=lambda: result.update(compare.load(
        node, arguments.build, "--operation", operation, "--connections", str(arguments.connections), "--seconds", str(seconds))))
    load.start()
    time.sleep(SETTLE_S)
    begun, before = time.monotonic(), node.cpu_s()
    events = count(pid)
    lasted, after = time.monotonic() - begun, node.cpu_s()
    load.join()
    name = node.pids()[pid]
    row = {event: number / (result["per_second"] * COUNTED_S) for event, number in events.items()}
    row["cpu_us"] = (after[name] - before[name]) * 1e6 / (result["per_second"] * lasted)
    return name, result["per_second"], row


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build", help="the build folder (build)")
    parser.add_argument("--connections", type=int, default=64)
    arguments = parser.parse_args()
    arguments.build = os.path.abspath(arguments.build)
    folder = tempfile.mkdtemp(prefix="profile-", dir=arguments.build)
    node = servers.Conure(folder, 1, arguments.build)
    try:
        compare.load(node, arguments.build, "--fill")
        for operation in ("put", "get"):
            columns = [measure(node, pid, operation, arguments) for pid in node.pids() if pid != node.children[0].pid]
            columns.sort(key=lambda column: -column[2]["cpu_us"])
            print(f"\n{operation}, {arguments.connections} connections, {columns[0][1]:,.0f} a second; to each request:\n")
            print("| | " + " | ".join(name.removeprefix("conure-") for name, _, _ in columns) + " |")
            print("|---" * (len(columns) + 1) + "|")
            for event in ["cpu_us"] + EVENTS:
                title = TITLES.get(event) or event.removeprefix("syscalls:sys_enter_")
                form = "{:.1f}" if event == "cpu_us" else "{:.3f}"
                print(f"| {title} | " + " | ".join(form.format(row.get(event, 0)) for _, _, row in columns) + " |")
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
