"""Made-up machines for tests: what `ssh-world` and `slurm-world` have in common.

A host is a set of namespaces: a name, processes and mounts of its own, and a network
if wished. Its first process only waits, and reaps; when it is killed the kernel ends
whatever else runs there, so that nothing can be left. All hosts see the files of this
machine, as hosts with a shared file system do, but not its shared memory.
"""

import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from processes import kill_all, marked, stat

PATH = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
# What daemons and commands on hosts are given: nothing that a person has set.
CLEAN = {"PATH": PATH, "LC_ALL": "C"}
# How long anything may take that normally takes less than a second.
LIMIT = 30
# Where made-up networks are: reserved for measurements, so that nobody has it.
NETWORK = "198.18"

# The first process of a host. Killing it is what ends the host.
FIRST = """
set -e
echo "$1" >/proc/sys/kernel/hostname
for file in "$2"/etc/*; do mount --bind "$file" "/etc/${file##*/}"; done
! [ -d /dev/shm ] || mount -t tmpfs shm /dev/shm
if [ "$3" ]; then mount -t tmpfs -o size=16m,mode=755 run /run && mkdir $3; fi
echo ready
exec env --ignore-signal=CHLD sleep infinity >/dev/null 2>&1
"""


class Cannot(Exception):
    """This machine does not have what a world needs, or what was asked for makes no sense."""


class Failed(Exception):
    """It should work here, and did not."""


# ---- Commands ---------------------------------------------------------------

def run(argv, **how):
    """A command that must succeed; what it printed."""
    how = {"env": CLEAN, "stdin": subprocess.DEVNULL, "timeout": LIMIT, **how}
    done = subprocess.run([str(word) for word in argv], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False, cwd="/", **how)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or "nothing"
        raise Failed(f"{shlex.join(map(str, argv))} ended with {done.returncode} and said: {said}")
    return done.stdout


def until(what, condition, limit=LIMIT):
    """Waits until it holds, and returns what the condition returned."""
    deadline = time.monotonic() + limit
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {limit} s")
        time.sleep(0.02)
    return found


def program(name):
    """Where a program is: daemons are not in everybody's PATH."""
    return shutil.which(name, path=PATH)


def check(programs, network):
    """Raises `Cannot` unless this machine can have hosts: `programs` by the packages
    that they come in."""
    missing = [package for name, package in programs.items() if not program(name)]
    if missing:
        packages = " ".join(dict.fromkeys(missing))
        raise Cannot(f"needs {packages} (apt-get install --no-install-recommends {packages})")
    kinds = ["--mount", "--uts", "--pid"] + ["--net"] * network
    tried = "ip link add b0 type bridge && ip link add v0 type veth peer name v1"
    argv = ["unshare", *kinds, "--fork", "--mount-proc", "sh", "-ec", tried if network else ":"]
    try:
        run(argv)
    except Failed as e:
        raise Cannot(f"needs namespaces{' and bridges' * network}, and {e}") from None


# ---- Worlds -----------------------------------------------------------------

class World:
    """All hosts below one directory."""

    def __init__(self, kind, base=None):
        self.kind = kind
        self.base = pathlib.Path(base or pathlib.Path(tempfile.gettempdir(), kind)).absolute()
        # Sockets are in there, whose paths are limited.
        if len(str(self.base)) > 60 or not re.fullmatch(r"[\w./+-]+", str(self.base)):
            raise Cannot(f"{self.base} cannot be the place of a world: take one that is shorter "
                         "and has no spaces")
        self.mark = f"ORCHESTRATOR_WORLD={self.base}"
        self.digest = hashlib.sha256(str(self.base).encode()).digest()
        self.bridge = f"ow{self.digest.hex()[:6]}"
        self.plan = self.read_plan()

    # What there is to be: written before anything is, so that `down` finds it.
    def read_plan(self):
        try:
            plan = json.loads((self.base / "world.json").read_text())
        except FileNotFoundError:
            if self.base.exists() and any(self.base.iterdir()):
                raise Cannot(f"{self.base} is no world, and not empty") from None
            return None
        if plan["kind"] != self.kind:
            raise Cannot(f"{self.base} is a {plan['kind']}")
        return plan

    def begin(self, names, network, **more):
        """Makes the directory; `hosts` in the plan are addresses by names."""
        self.base.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(self.base, 0o700)
        prefix = self.free_prefix() if network else None
        hosts = {name: f"{prefix}.{number}" if network else "127.0.0.1"
                 for number, name in enumerate(names, 11)}
        self.plan = {"kind": self.kind, "hosts": hosts, "prefix": prefix, **more}
        (self.base / "world.json").write_text(json.dumps(self.plan))
        if network:
            run(["ip", "link", "add", self.bridge, "type", "bridge"])
            run(["ip", "addr", "add", f"{prefix}.1/24", "dev", self.bridge])
            run(["ip", "link", "set", self.bridge, "up"])

    def free_prefix(self):
        used = run(["ip", "-4", "-o", "addr"]).decode() + run(["ip", "-4", "route"]).decode()
        for number in range(256):
            prefix = f"{NETWORK}.{(self.digest[0] + number) % 256}"
            if f" {prefix}." not in f" {used}":
                return prefix
        raise Failed(f"no network below {NETWORK} is free")

    @property
    def network(self):
        return bool(self.plan["prefix"])

    def place(self, name):
        """A host's directory. What is in its `etc` stands in its /etc."""
        if name not in self.plan["hosts"]:
            raise Cannot(f"there is no host {name} in {self.base}, only "
                         + ", ".join(self.plan["hosts"]))
        return self.base / "hosts" / name

    def firsts(self):
        """The first process of each host that lives, by its name."""
        found = {}
        for pid in marked(self.mark):
            with contextlib.suppress(OSError):
                status = pathlib.Path(f"/proc/{pid}/status").read_text(errors="replace")
                environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                names = (word for word in environment if word.startswith(b"ORCHESTRATOR_HOST="))
                name = next(names, None)
                if name and re.search(r"^NSpid:.*\t1$", status, re.MULTILINE):
                    found[name.split(b"=", 1)[1].decode()] = pid
        return found

    def complete(self):
        """Whether all of it is there."""
        return self.plan is not None and set(self.plan["hosts"]) == set(self.firsts())

    # ---- Hosts
    def start_host(self, name, etc, run_directory=""):
        """Starts a host, with these files in its /etc; with a /run of its own if a
        directory in there is named."""
        place = self.place(name)
        (place / "etc").mkdir(parents=True)
        lines = ["127.0.0.1 localhost"]
        lines += [f"{address} {host}" for host, address in self.plan["hosts"].items()]
        for file, text in {"hosts": "\n".join(lines) + "\n", **etc}.items():
            (place / "etc" / file).write_text(text)
        kinds = ["--mount", "--uts", "--pid"] + ["--net"] * self.network
        argv = ["unshare", *kinds, "--fork", "--kill-child", "--mount-proc",
                "--propagation", "slave", "sh", "-c", FIRST, "sh", name, str(place), run_directory]
        key, value = self.mark.split("=", 1)
        environment = {**CLEAN, key: value, "ORCHESTRATOR_HOST": name}
        with open(place / "first.log", "w+b") as log:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     cwd="/", env=environment, start_new_session=True)

            def ready():
                said = (place / "first.log").read_bytes()
                if child.poll() is not None:
                    raise Failed(f"host {name}: {said.decode(errors='replace').strip()}")
                return said == b"ready\n"
            until(f"host {name} is there", ready)
        if self.network:
            self.connect(name)

    def veth(self, name):
        return f"{self.bridge}-{name}"[:15]

    def connect(self, name):
        # It says that it is ready while it may still be about to become another program.
        until(f"host {name} can be found", lambda: name in self.firsts())
        pid, veth = self.firsts()[name], self.veth(name)
        run(["ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", pid])
        run(["ip", "link", "set", veth, "master", self.bridge, "up"])
        address = f"{self.plan['hosts'][name]}/24"
        up = "ip link set lo up; ip addr add $0 dev eth0; ip link set eth0 up"
        self.on(name, ["sh", "-ec", up, address])

    def enter(self, name):
        """What goes before a command line that is to run on a host."""
        self.place(name)
        first = self.firsts().get(name)
        if first is None:
            raise Cannot(f"host {name} is down")
        kinds = ["--mount", "--uts", "--pid"] + ["--net"] * self.network
        return ["nsenter", f"--target={first}", *kinds]

    def on(self, name, argv, **how):
        return run([*self.enter(name), *argv], **how)

    def link(self, name, state):
        """Cuts a host off the network ("down"), or heals it ("up")."""
        self.place(name)
        if not self.network:
            raise Cannot("the hosts have no network of their own (up --netns)")
        run(["ip", "link", "set", self.veth(name), state])

    def processes(self, name):
        """What runs on a host, its first process apart: command lines by process ids of
        this machine."""
        self.place(name)
        first = self.firsts().get(name)
        found = {}
        with contextlib.suppress(OSError):
            space = os.readlink(f"/proc/{first}/ns/pid")
            for pid in filter(str.isdigit, os.listdir("/proc")):
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/{pid}/ns/pid") == space and int(pid) != first:
                        found[int(pid)] = command_line(pid)
        return {pid: line for pid, line in found.items() if line}

    # ---- The end
    def remove(self, clients, sign):
        """Ends and removes everything; whatever is missing already is fine. Clients on
        this machine that belong to the world, which may wait for it for ever, end too:
        those of these names with the sign in their command line or environment."""
        firsts = list(marked(self.mark))
        kill_all(self.mark)
        # A first process that dies waits for all others of its host, and is seen until then.
        for pid in firsts:
            until(f"process {pid} has ended", lambda pid=pid: gone(pid))
        for pid in self.clients(clients, sign):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for link in self.links():
            # With the last process of a host its link goes, at some time.
            with contextlib.suppress(Failed):
                run(["ip", "link", "del", link])
        until("links are gone", lambda: not self.links())
        shutil.rmtree(self.base, ignore_errors=True)
        self.plan = None

    def clients(self, names, sign):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                name = pathlib.Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
                if name in names and any(
                        sign.encode() in pathlib.Path("/proc", pid, file).read_bytes()
                        for file in ("cmdline", "environ")):
                    found.append(int(pid))
        return found

    def links(self):
        if not program("ip"):
            return []
        shown = run(["ip", "-o", "link"]).decode()
        return [link for link in re.findall(r"^\d+: ([^:@]+)", shown, re.MULTILINE)
                if link == self.bridge or link.startswith(f"{self.bridge}-")]

    def traces(self):
        """What is left of it on this machine: nothing, when it is down."""
        found = [f"process {pid}" for pid in marked(self.mark)] + self.links()
        return found + [str(self.base)] * self.base.exists()


def gone(pid):
    now = stat(pid)
    return now is None or now.state in "ZX"


def command_line(pid):
    words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return b" ".join(words).decode(errors="replace").strip()


# ---- The command line --------------------------------------------------------

def parser(doc):
    """Options that all worlds have."""
    found = argparse.ArgumentParser(description=doc,
                                    formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--base", type=pathlib.Path, help="the directory of this world; worlds with "
                       "different ones stand side by side [below the system's temporary one]")
    return found


def main(action):
    """Exit status 2 says that it cannot be had here, 1 that it does not work."""
    try:
        if os.geteuid() != 0:
            raise Cannot("needs root, for namespaces")
        return action() or 0
    except Cannot as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    except (Failed, subprocess.TimeoutExpired) as e:
        print(f"FAILED: {e}", file=sys.stderr)
        return 1


# ---- Tests of the worlds themselves --------------------------------------------

def expect(what, holds, said=""):
    print(f"  {'ok' if holds else 'NOT'}: {what}", flush=True)
    if not holds:
        raise Failed(f"{what}: {said}")


@contextlib.contextmanager
def carried(argv, env=None):
    """A program that carries lines to and fro."""
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env,
                             start_new_session=True)
    os.set_blocking(child.stdout.fileno(), False)
    try:
        yield child
        # A launcher that is killed with all that belongs to it may leave something behind.
        child.stdin.close()
        child.wait(LIMIT)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()


def write(child, line):
    child.stdin.write(line)
    child.stdin.flush()


def comes_back(child, line, seconds=LIMIT):
    """Whether this comes back so soon, and nothing else."""
    got = b""
    deadline = time.monotonic() + seconds
    while got != line and time.monotonic() < deadline:
        got += child.stdout.read() or b""
        time.sleep(0.005)
    return got == line


def nothing_left(world):
    traces = world.traces()
    expect("nothing is left", not traces, ", ".join(traces))
