#!/usr/bin/env python3
"""Does the same eight faults to Python's process pools and prints what each made of them.

    python/bench/compare_pools.py [--markdown FILE] [POOL ...]

Each pool has two workers. With the first four faults it has nine jobs, the fourth of
which is the faulty one; they are told by what becomes of that job, of the eight others,
and of one that is submitted afterwards. What peers do is only reported; this package's
own rows are checked, and the exit status is 1 when a promise was broken. Peers that are
not installed are left out. Needs Linux and Python 3.9 or later; $ORCHESTRATOR names the
program, if it is not installed with the package.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "scripts"))

from measure import table  # noqa: E402
from processes import kill_all, left  # noqa: E402

MARK = "COMPARE_POOLS"
# Seconds after which a job or program counts as hung, and processes as left.
HANGS, LEFT = 8, 3
OTHERS = 8

POOLS = {
    "orchestrator": ("orchestrator", "Executor(2)"),
    "ProcessPoolExecutor": (None, "ProcessPoolExecutor(2)"),
    "multiprocessing.Pool": (None, "Pool(2)"),
    "loky": ("loky", "ProcessPoolExecutor(2)"),
}

# A program as one would write it: `program.py POOL FAULT`. Tells what it saw as JSON.
PROGRAM = r'''
import json, os, sys, threading, time

class Two(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")

def fine(n):
    time.sleep(0.05)
    return n

def dies():
    os._exit(3)

def raises():
    raise Two("one", "two")

def unpicklable():
    return threading.Lock()

def busy(directory):
    open(os.path.join(directory, f"busy-{os.getpid()}"), "w").close()
    time.sleep(60)

def length(data):
    return len(data)

def make(name):
    """A pool, and how it submits and maps: to something with `get(timeout)`, and to an iterator."""
    if name == "multiprocessing.Pool":
        import multiprocessing
        pool = multiprocessing.Pool(2)
        return pool, lambda f, *a: pool.apply_async(f, a).get, pool.imap
    if name == "ProcessPoolExecutor":
        from concurrent.futures import ProcessPoolExecutor as Pool
    elif name == "loky":
        from loky import ProcessPoolExecutor as Pool
    else:
        from orchestrator import Executor as Pool
    pool = Pool(2)
    return pool, lambda f, *a: pool.submit(f, *a).result, pool.map

def outcome(call):
    """What a job came to, in a word or two, and whether that is a value."""
    import concurrent.futures, multiprocessing
    try:
        value = call(timeout=HANGS)
        return ("ok" if isinstance(value, int) else repr(value)), True
    except (concurrent.futures.TimeoutError, multiprocessing.TimeoutError) as e:
        if type(e).__name__ == "TimeoutError" and not str(e):
            return "never ends", False
        return f"{type(e).__name__}: {e}", False
    except BaseException as e:
        return f"{type(e).__name__}: {e}", False

def tried(submit, f, *a):
    try:
        return submit(f, *a)
    except BaseException as e:
        error = e
        def fail(timeout):
            raise error
        return fail

def one_faulty(submit, faulty):
    calls = [tried(submit, fine, n) for n in range(3)]
    calls.append(tried(submit, faulty))
    calls += [tried(submit, fine, n) for n in range(3, OTHERS)]
    seen = [outcome(call) for call in calls]
    return {"job": seen.pop(3)[0], "others": sum(good for _, good in seen),
            "after": outcome(tried(submit, fine, 1))[0]}

def growth(pool_map):
    import resource
    taken = 0
    def inputs():
        nonlocal taken
        for _ in range(3000):
            taken += 1
            yield os.urandom(100) * 1000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results = iter(pool_map(length, inputs()))
    first = next(results)
    at_first = taken
    rest = sum(1 for _ in results)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"taken": at_first, "mb": (after - before) // 1024, "good": first == 100_000 and rest == 2999}

def forks(submit):
    outcome(submit(fine, 0))
    calls = [submit(fine, n) for n in range(OTHERS)]
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, outcome(tried(submit, fine, 1))[0].encode())
        finally:
            os._exit(0)
    os.close(write)
    said = b"".join(iter(lambda: os.read(read, 4096), b"")).decode() or "dies"
    os.waitpid(child, 0)
    return {"job": said, "others": sum(outcome(call)[1] for call in calls),
            "after": outcome(tried(submit, fine, 1))[0]}

def main():
    name, fault, directory = sys.argv[1:]
    pool, submit, pool_map = make(name)
    faulty = {"dies": dies, "raises": raises, "unpicklable": unpicklable, "lambda": lambda: 42}
    if fault in faulty:
        seen = one_faulty(submit, faulty[fault])
    elif fault == "fork":
        seen = forks(submit)
    elif fault == "generator":
        seen = growth(pool_map)
    else:
        for call in [submit(busy, directory) for _ in range(4)]:
            call(timeout=60)
    with open(os.path.join(directory, "seen"), "w") as file:
        json.dump(seen, file)
    # Not what is looked at: some pools never end by themselves after a fault.
    os._exit(0)

if __name__ == "__main__":
    main()
'''.replace("HANGS", str(HANGS)).replace("OTHERS", str(OTHERS))


class Case:
    """One program with one pool and one fault, from its start until nothing is left of it."""

    def __init__(self, pool, fault):
        self.directory = tempfile.TemporaryDirectory(prefix="compare-pools-")
        self.place = pathlib.Path(self.directory.name)
        (self.place / "program.py").write_text(PROGRAM)
        self.mark = f"{MARK}={self.place.name}"
        environment = dict(os.environ, **dict([self.mark.split("=")]))
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.stderr = open(self.place / "stderr", "wb")
        self.program = subprocess.Popen(
            [sys.executable, self.place / "program.py", pool, fault, self.place],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=self.stderr, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        kill_all(self.mark)
        self.program.wait()
        self.stderr.close()
        self.directory.cleanup()

    def seen(self):
        """What it says it saw; nothing when it hangs."""
        try:
            self.program.wait(timeout=11 * HANGS)
            return json.loads((self.place / "seen").read_text())
        except (subprocess.TimeoutExpired, FileNotFoundError):
            return None

    def wait_until_busy(self):
        deadline = time.monotonic() + 60
        while len(list(self.place.glob("busy-*"))) < 2:
            if time.monotonic() > deadline or self.program.poll() is not None:
                raise RuntimeError(f"no two jobs run: {self.said()}")
            time.sleep(0.01)

    def said(self):
        return (self.place / "stderr").read_text(errors="replace")


# ---- The faults: each gives a cell's text, and whether a promise was kept -----

def faulty_job(pool, fault):
    with Case(pool, fault) as case:
        seen = case.seen()
    if not seen:
        return "the program hangs", False
    others = "all others end well" if seen["others"] == OTHERS else f"{seen['others']} of {OTHERS} others"
    alive = seen["after"] == "ok"
    after = "the pool goes on" if alive else f"afterwards: {short(seen['after'], 30)}"
    return f"`{short(seen['job'])}`; {others}; {after}", alive and seen["others"] == OTHERS


def killed(pool, _fault):
    with Case(pool, "killed") as case:
        case.wait_until_busy()
        case.program.kill()
        case.program.wait()
        count = len(left(case.mark, LEFT))
    return f"{count or 'no'} processes left", count == 0


def interrupted(pool, _fault):
    with Case(pool, "interrupted") as case:
        case.wait_until_busy()
        # What a terminal does: to all of the foreground's process group.
        os.killpg(case.program.pid, signal.SIGINT)
        start = time.monotonic()
        try:
            case.program.wait(timeout=2 * HANGS)
            took = f"ends after {time.monotonic() - start:.1f} s"
        except subprocess.TimeoutExpired:
            took = "hangs"
        count = len(left(case.mark, LEFT))
        tracebacks = case.said().count("Traceback (most recent call last)")
    return (f"{took}; {tracebacks} tracebacks; {count or 'no'} processes left",
            took != "hangs" and count == 0 and tracebacks == 1)


def generator(pool, fault):
    with Case(pool, fault) as case:
        seen = case.seen()
    if not seen:
        return "the program hangs", False
    return (f"{seen['taken']:,} taken when the first result is there; {seen['mb']} MB more",
            seen["good"] and seen["taken"] < 1000 and seen["mb"] < 100)


FAULTS = {
    "dies": ("a worker dies (`os._exit(3)`)", faulty_job),
    "raises": ("an exception with two required arguments", faulty_job),
    "unpicklable": ("a result that cannot be pickled", faulty_job),
    "lambda": ("a lambda", faulty_job),
    "fork": ("a fork of the parent, which uses the pool", faulty_job),
    "killed": ("SIGKILL of the parent, workers busy", killed),
    "interrupted": ("Ctrl-C, workers busy", interrupted),
    "generator": ("`map` over a generator of 3,000 × 100 kB", generator),
}


def short(text, most=90):
    text = " ".join(text.split()).replace("|", "\\|").replace("`", "'")
    return text if len(text) <= most else text[:most - 1] + "…"


def version(package):
    if package is None:
        return f"Python {platform.python_version()}"
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "this tree"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markdown", metavar="FILE", type=pathlib.Path,
                        help="put the tables between the two marks in this file")
    parser.add_argument("pools", nargs="*", metavar="POOL", help=", ".join(POOLS))
    arguments = parser.parse_args()
    sys.path.insert(0, str(HERE.parent))
    chosen = {}
    for name in arguments.pools or POOLS:
        package, written = POOLS[name]
        if package and importlib.util.find_spec(package) is None:
            print(f"not installed, so left out: {name}", file=sys.stderr)
        else:
            chosen[name] = f"{written.split('(')[0]} ({version(package)})" if package else name
    rows, broken = [], []
    for fault, (title, does) in FAULTS.items():
        for name in chosen:
            cell, kept = does(name, fault)
            rows.append([title if name == next(iter(chosen)) else "", name, cell])
            if name == "orchestrator" and not kept:
                broken.append(f"{title}: {cell}")
            print(f"{title}: {name}: {cell}", file=sys.stderr)
    text = table(["fault", "pool", "what becomes of it"], rows)
    print(text)
    if arguments.markdown:
        put(arguments.markdown, text)
    for promise in broken:
        print(f"broken: {promise}", file=sys.stderr)
    return 1 if broken else 0


def put(file, text):
    """Between the marks that the file has for it."""
    start, end = "<!-- compare_pools -->\n", "<!-- /compare_pools -->"
    before, rest = file.read_text().split(start)
    after = rest.split(end)[1]
    file.write_text(f"{before}{start}\n{text}\n\n{end}{after}")


if __name__ == "__main__":
    sys.exit(main())
