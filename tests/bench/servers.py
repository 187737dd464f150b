"""The servers that compare.py puts side by side: how each is started, found to be ready, and what it has used up.

Every server runs on loopback, with its data in a folder of its own. Owner: tests/bench.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

READY_S = 60
TICKS = os.sysconf("SC_CLK_TCK")


def fetch(url, body=None):
    with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=10) as answer:
        return answer.read().decode()


def wait_for(what, is_true):
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        try:
            found = is_true()
            if found:
                return found
        except (OSError, ValueError, KeyError):
            pass
        time.sleep(0.05)
    raise RuntimeError(f"{what}: not within {READY_S} s")


def free_ports(count):
    """Ports nobody has now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def figures(text):
    """Prometheus text: the sum over the labels of each name."""
    sums = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            name = name.split("{")[0]
            sums[name] = sums.get(name, 0.0) + float(value)
    return sums


class Server:
    """Some processes, and the address that is asked."""

    dialect = "conure"
    has_stale = True
    is_ceiling = False  # no store at all
    nodes_most = 3
    program = None  # that has to be installed

    def __init__(self, folder, nodes, build):
        self.folder = os.path.join(folder, self.name)
        self.nodes, self.build = nodes, build
        self.children = []
        os.makedirs(self.folder)
        self.start()

    def spawn(self, *command):
        log = open(os.path.join(self.folder, f"log{len(self.children)}"), "w")
        self.children.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))

    def pids(self):
        """Of each process: its number and its program's name."""
        found = []
        for child in self.children:
            found.append(child.pid)
            with open(f"/proc/{child.pid}/task/{child.pid}/children") as listing:
                found += [int(pid) for pid in listing.read().split()]
        return {pid: open(f"/proc/{pid}/comm").read().strip() for pid in found}

    def cpu_s(self):
        """CPU time used so far, user and system, by program."""
        used = {}
        for pid, name in self.pids().items():
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            used[name] = used.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / TICKS
        return used

    def memory_kib(self):
        """Resident memory of all its processes, pages of mapped files included, and without them."""
        sums = {"VmRSS": 0, "RssFile": 0}
        for pid in self.pids():
            with open(f"/proc/{pid}/status") as status:
                for line in status:
                    name, value = line.split(":", 1)
                    if name in sums:
                        sums[name] += int(value.split()[0])
        return sums["VmRSS"], sums["VmRSS"] - sums["RssFile"]

    def descriptors(self):
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.pids())

    def disk_bytes(self):
        """Written to the disk its data is on, by anybody: nobody else is busy. (What /proc counts for a process is
        whole folios, many times more.)"""
        device = os.stat(self.folder).st_dev
        with open(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat") as stat:
            return int(stat.read().split()[6]) * 512

    def counters(self):
        """Since the start: `syncs` of the log and `messages` between processes, where they can be had."""
        return {}

    def stop(self):
        for child in self.children:
            child.send_signal(signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Conure(Server):
    name = "conure"

    def start(self):
        self.http, raft = free_ports(self.nodes), free_ports(self.nodes)
        for i in range(self.nodes):
            self.spawn(os.path.join(self.build, "conure-launch"), "--node-id", f"n{i}", "--data-dir",
                       os.path.join(self.folder, f"n{i}"), "--raft-addr", f"127.0.0.1:{raft[i]}", "--http-addr",
                       f"127.0.0.1:{self.http[i]}", *(["--seeds", f"http://127.0.0.1:{self.http[0]}"] if i else []))
            wait_for("conure", lambda: fetch(f"http://127.0.0.1:{self.http[i]}/readyz"))
        wait_for("conure's members", self.is_complete)
        self.address = f"127.0.0.1:{self.http[0]}"

    def is_complete(self):
        members = json.loads(fetch(f"http://127.0.0.1:{self.http[0]}/raft/config"))["servers"]
        return sum(member["suffrage"] == "voter" for member in members) == self.nodes

    def counters(self):
        now = figures(fetch(f"http://{self.address}/metrics"))
        return {"syncs": now["conure_raft_log_syncs_total"],
                "messages": now["conure_edge_calls_total"] + now.get("conure_raft_peer_messages_sent_total", 0)}


class Etcd(Server):
    """One program behind two dialects: etcd2 (v2 HTTP), etcd3 (v3 JSON gateway)."""

    program = "etcd"

    def start(self):
        client, peer = free_ports(self.nodes), free_ports(self.nodes)
        cluster = ",".join(f"n{i}=http://127.0.0.1:{peer[i]}" for i in range(self.nodes))
        for i in range(self.nodes):
            self.spawn("etcd", "--name", f"n{i}", "--data-dir", os.path.join(self.folder, f"n{i}"), "--enable-v2",
                       "--listen-client-urls", f"http://127.0.0.1:{client[i]}",
                       "--advertise-client-urls", f"http://127.0.0.1:{client[i]}",
                       "--listen-peer-urls", f"http://127.0.0.1:{peer[i]}",
                       "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer[i]}", "--initial-cluster", cluster,
                       "--log-level", "error")
        self.address = wait_for("etcd's leader", lambda: next(
            (f"127.0.0.1:{port}" for port in client
             if figures(fetch(f"http://127.0.0.1:{port}/metrics")).get("etcd_server_is_leader") == 1), None))

    def counters(self):
        now = figures(fetch(f"http://{self.address}/metrics"))
        return {"syncs": now["etcd_disk_wal_fsync_duration_seconds_count"]}


class Etcd2(Etcd):
    name = dialect = "etcd2"


class Etcd3(Etcd):
    name = dialect = "etcd3"


class Redis(Server):
    name = dialect = "redis"
    has_stale = False
    nodes_most = 1
    program = "redis-server"

    def start(self):
        port, = free_ports(1)
        self.spawn("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", self.folder, "--appendonly", "yes",
                   "--appendfsync", "always", "--save", "")
        self.address = f"127.0.0.1:{port}"
        wait_for("redis", lambda: socket.create_connection(("127.0.0.1", port)))


class Responder(Server):
    """libmicrohttpd answering without doing anything: a ceiling, no peer."""

    name = "responder"
    has_stale = False
    is_ceiling = True
    nodes_most = 1
    flags = ()

    def start(self):
        port, = free_ports(1)
        self.spawn(os.path.join(self.build, "tests/bench/bench_responder"), str(port), *self.flags)
        self.address = f"127.0.0.1:{port}"
        wait_for("the responder", lambda: socket.create_connection(("127.0.0.1", port)))


class Suspender(Responder):
    """The same, each request suspended and resumed."""

    name = "suspender"
    flags = ("suspend",)


ALL = (Conure, Etcd2, Etcd3, Redis, Responder, Suspender)
