"""A network of hosts on this machine: a network namespace each, joined by links of a given latency and rate.

Linux's netem delays the packets if the kernel has it. Otherwise each host gets a TAP device, and our own process (this
file as a program) simulates the wires and the switch. Other namespaces are not affected.
"""
import collections
import errno
import fcntl
import heapq
import os
import pathlib
import select
import shutil
import struct
import subprocess
import sys
import time

DEVICE = "es0"
MTU = 9000  # fewer packets, because our wire is Python code
SUBNET = "10.213.7"
# Removes the namespaces when its pipe is closed, that is, when this process ends in any way.
GUARD = 'cat; for name in "$@"; do ip netns pids "$name" | xargs -r kill -9; ip netns del "$name"; done'
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000


def run(*command, check=True):
    return subprocess.run([str(word) for word in command], check=check, capture_output=True, text=True)


def missing():
    """Reason why this machine cannot make such a network, or None."""
    for tool in ("ip", "tc", "mpirun"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    name = f"es{os.getpid()}t"
    made = run("ip", "netns", "add", name, check=False)
    if made.returncode != 0:
        return f"ip netns add: {made.stderr.strip()}"
    try:
        if has_netem(name) or os.path.exists("/dev/net/tun"):
            return None
        return "the kernel has neither netem (sch_netem) nor /dev/net/tun"
    finally:
        run("ip", "netns", "del", name)


def has_netem(namespace):
    done = run("ip", "netns", "exec", namespace, "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms", check=False)
    run("ip", "netns", "exec", namespace, "tc", "qdisc", "del", "dev", "lo", "root", check=False)
    return done.returncode == 0


class Network:
    """Hosts 0 … n−1, addresses[i] each; `close` removes everything. latency: seconds one way, 0 for none; rate: bits
    per second that a host sends at most, 0 for no limit."""

    def __init__(self, hosts, folder):
        self.names = [f"es{os.getpid()}h{i}" for i in range(hosts)]
        self.switch = f"es{os.getpid()}s"
        self.addresses = [f"{SUBNET}.{i + 1}" for i in range(hosts)]
        self.folder = pathlib.Path(folder)
        self.wire = None
        self.guard = subprocess.Popen(["sh", "-c", GUARD, "sh", *self.names, self.switch], stdin=subprocess.PIPE,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            for name in (*self.names, self.switch):
                run("ip", "netns", "add", name)
                run("ip", "-n", name, "link", "set", "lo", "up")
            self.netem = has_netem(self.switch)
            (self.join if self.netem else self.connect)()
            for name, address in zip(self.names, self.addresses):
                run("ip", "-n", name, "address", "add", f"{address}/24", "dev", DEVICE)
                run("ip", "-n", name, "link", "set", DEVICE, "mtu", MTU, "up")
        except BaseException:
            self.close()
            raise
        self.agent = self.folder / "agent.sh"
        cases = "".join(f"{address}) space={name} ;;\n" for name, address in zip(self.names, self.addresses))
        # Open MPI starts its daemons through this agent: a shell on that host, with the host's name.
        self.agent.write_text(f'#!/bin/sh\nhost=$1\nshift\ncase $host in\n{cases}esac\n'
                              'exec nice -n -10 ip netns exec "$space" unshare --uts sh -c "hostname $space; $*"\n')
        self.agent.chmod(0o755)

    def close(self):
        if self.wire is not None:
            self.wire.kill()
            self.wire.communicate()
            self.wire = None
        self.guard.stdin.close()
        self.guard.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- netem ----

    def join(self):
        """Creates a bridge in its own namespace, and a pair of veth devices to each host."""
        run("ip", "-n", self.switch, "link", "add", "bridge", "type", "bridge")
        for i, name in enumerate(self.names):
            run("ip", "-n", self.switch, "link", "add", f"port{i}", "mtu", MTU, "type", "veth", "peer", "name", DEVICE, "netns", name)
            run("ip", "-n", self.switch, "link", "set", f"port{i}", "master", "bridge", "up")
        run("ip", "-n", self.switch, "link", "set", "bridge", "mtu", MTU, "up")

    # ---- our own wire ----

    def connect(self):
        self.wire = subprocess.Popen([sys.executable, "-B", __file__, str(len(self.names))], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, text=True)
        for i, name in enumerate(self.names):
            device = self.wire.stdout.readline().strip()
            run("ip", "link", "set", device, "address", f"02:00:00:00:00:{i:02x}", "netns", name)
            run("ip", "-n", name, "link", "set", device, "name", DEVICE)

    def set(self, latency, rate):
        """Sets latency and rate from now on."""
        if self.netem:
            for name in self.names:
                run("ip", "netns", "exec", name, "tc", "qdisc", "replace", "dev", DEVICE, "root", "netem", "limit", 100000,
                    *(["delay", f"{latency * 1e6:.0f}us"] if latency else []), *(["rate", f"{rate:.0f}bit"] if rate else []))
        else:
            self.wire.stdin.write(f"{latency!r} {rate!r}\n")
            self.wire.stdin.flush()
            assert self.wire.stdout.readline() == "set\n"

    # ---- MPI ----

    def mpirun(self, ranks, command, osc="pt2pt", **options):
        """One rank on each of the first `ranks` hosts."""
        # Debian's Open MPI disables what TCP needs for one-sided communication (/etc/openmpi/openmpi-mca-params.conf).
        settings = {"btl": "self,tcp", "pml": "ob1", "osc": osc, "btl_tcp_if_include": DEVICE, "oob_tcp_if_include": DEVICE,
                    "plm_rsh_agent": self.agent, "plm_rsh_no_tree_spawn": 1, "orte_tmpdir_base": self.folder}
        words = [word for name, value in settings.items() for word in ("--mca", name, str(value))]
        hosts = ",".join(f"{address}:1" for address in self.addresses[:ranks])
        return subprocess.run(["nice", "-n", "-10", "ip", "netns", "exec", self.names[0], "mpirun", *words, "--host", hosts, "-n", str(ranks),
                               *map(str, command)], capture_output=True, text=True, **options)


# ---- the wire, as a program ----

def open_tap():
    """Opens a TAP device: (file descriptor, name)."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", f"es{os.getpid()}t%d".encode(), IFF_TAP | IFF_NO_PI))
    return tap, request[:16].rstrip(b"\0").decode()


class Wire:
    """Simulates the wire: frames of a port leave in order at the given rate, and arrive after the latency."""

    def __init__(self, taps):
        self.taps = taps
        self.free = [0.0] * len(taps)  # time at which each port has sent all its frames
        self.flying = [collections.deque() for _ in taps]  # (arrival, frame), in order
        self.latency = self.rate = 0.0

    def take(self, port, now):
        for _ in range(64):
            try:
                frame = os.read(self.taps[port], MTU + 64)
            except BlockingIOError:
                return
            start = max(now, self.free[port])
            self.free[port] = start + (8 * len(frame) / self.rate if self.rate else 0.0)
            self.flying[port].append((self.free[port] + self.latency, frame))

    def deliver(self, port, frame):
        # The last byte of a host's address is its port; other addresses are broadcasts.
        ports = [frame[5]] if frame[0] == 2 else [i for i in range(len(self.taps)) if i != port]
        for to in ports:
            try:
                os.write(self.taps[to], frame)
            except OSError as error:  # the device is not up yet
                if error.errno not in (errno.EIO, errno.EAGAIN):
                    raise

    def pass_on(self, now):
        """Delivers frames that have arrived; returns seconds until the next arrival, or None."""
        while True:
            heads = [(queue[0][0], port) for port, queue in enumerate(self.flying) if queue]
            if not heads:
                return None
            arrival, port = min(heads)
            if arrival > now:
                return arrival - now
            self.deliver(port, self.flying[port].popleft()[1])

    def run(self):
        while True:
            wait = self.pass_on(time.monotonic())
            ready, _, _ = select.select([sys.stdin, *self.taps], [], [], wait)
            now = time.monotonic()
            for one in ready:
                if one is not sys.stdin:
                    self.take(self.taps.index(one), now)
                    continue
                line = sys.stdin.readline()
                if not line:
                    return
                self.latency, self.rate = map(float, line.split())
                print("set", flush=True)


def main():
    try:  # real-time priority, to be on time beside busy ranks
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    except PermissionError:
        pass
    opened = [open_tap() for _ in range(int(sys.argv[1]))]
    for _, name in opened:
        print(name, flush=True)
    Wire([tap for tap, _ in opened]).run()


if __name__ == "__main__":
    main()
