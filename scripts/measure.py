"""Runs commands, measures them in turns and compares them: what `bench` is made of."""

import contextlib
import dataclasses
import glob
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
import threading
import time

LIMIT = 900  # seconds after which a command counts as hung


class Wrong(Exception):
    """A command failed, hung or gave a wrong answer."""


# ---- Processes --------------------------------------------------------------

@dataclasses.dataclass
class Sample:
    seconds: float
    cpu: float  # user and system, of the command and all its descendants


@contextlib.contextmanager
def started(argv, **how):
    """A child in a session of its own, which does not outlive the block."""
    child = subprocess.Popen(argv, start_new_session=True, **how)
    killer = threading.Timer(LIMIT, os.killpg, (child.pid, signal.SIGKILL))
    killer.start()
    try:
        yield child
    finally:
        killer.cancel()
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def reap(child):
    """Waits for a child; its CPU time with that of all that it waited for."""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def run(scratch, argv, stdin=os.devnull, env=None, first_byte=False):
    """Runs a command to its end: a sample and what it printed. With `first_byte`
    the time is the one until it began to print."""
    out, err = scratch / "stdout", scratch / "stderr"
    with open(stdin, "rb") as i, open(out, "wb") as o, open(err, "wb") as e:
        stdout = subprocess.PIPE if first_byte else o
        start = time.perf_counter()
        with started(argv, stdin=i, stdout=stdout, stderr=e, env=env) as child:
            if first_byte:
                o.write(child.stdout.read(1))
                seconds = time.perf_counter() - start
                o.write(child.stdout.read())
                child.stdout.close()
            cpu = reap(child)
        if not first_byte:
            seconds = time.perf_counter() - start
    if child.returncode != 0:
        raise Wrong(f"{brief(argv)}: exit status {child.returncode}: "
                    + err.read_text(errors="replace")[-500:])
    return Sample(seconds, cpu), out.read_bytes(), err.read_bytes()


def brief(argv):
    return shlex.join(argv)[:300]


def children(pid):
    """What this process started, whichever of its threads did."""
    found = []
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        with contextlib.suppress(OSError), open(path) as file:
            found += map(int, file.read().split())
    return found


def memory(pid):
    """A process's memory in MiB; zero of everything when it has ended."""
    names = {"RSS": "VmRSS", "anonymous": "RssAnon", "PSS": "Pss"}
    text = ""
    with contextlib.suppress(OSError):
        for file in ("status", "smaps_rollup"):
            with open(f"/proc/{pid}/{file}") as found:
                text += found.read()
    found = dict(re.findall(r"^(\w+):\s+(\d+) kB$", text, re.M))
    return {name: int(found.get(key, 0)) / 1024 for name, key in names.items()}


# ---- Checks of what was printed: they get stdout and stderr ------------------

def prints(expected, ordered=True):
    """These lines, in this order or in any."""
    lines = expected.splitlines()
    known = set(lines)

    def check(out, _):
        if ordered and out != expected:
            raise Wrong(f"other output than expected: {out[:200]!r}")
        got = [] if ordered else out.splitlines()
        if not ordered and (len(got) != len(lines) or set(got) != known):
            raise Wrong(f"{len(got)} lines instead of {len(lines)}; "
                        f"not expected: {sorted(set(got) - known)[:2]}")
    return check


def printed(count):
    """So many results of jobs that succeeded."""
    def check(out, err):
        if out.count(b"\n") != count or out.count(b'"ok":true') != count or err:
            raise Wrong(f"not {count} results: {out[:200]!r} {err[-300:]!r}")
    return check


def succeeded(count):
    """No output, and a summary that says so many jobs succeeded."""
    def check(out, err):
        if out or f"orchestrator: {count:,} jobs succeeded".encode() not in err:
            raise Wrong(f"not {count} successes: {out[:200]!r} {err[-300:]!r}")
    return check


# ---- Reports ----------------------------------------------------------------

class Report:
    """One case: what was measured, and what should hold."""

    def __init__(self, name, title, *notes):
        self.name, self.title, self.notes = name, title, notes
        self.header, self.rows, self.claims, self.raw = [], [], [], []

    def claim(self, what, value, bound, at_least=True):
        self.claims.append({"what": what, "measured": value, "bound": bound, "at_least": at_least,
                            "holds": value >= bound if at_least else value <= bound})

    def claim_rows(self):
        return [[c["what"], figure(c["measured"]),
                 f"at {'least' if c['at_least'] else 'most'} {figure(c['bound'])}",
                 "holds" if c["holds"] else "MISSED"] for c in self.claims]

    def text(self):
        parts = [f"## {self.title}", *self.notes, table(self.header, self.rows)]
        if self.claims:
            parts.append(table(["must hold", "measured", "wanted", ""], self.claim_rows()))
        return "\n\n".join(parts) + "\n"


def figure(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def readable(seconds):
    for size, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= size:
            return f"{figure(seconds / size)} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def table(header, rows):
    """A table that reads well in a terminal and is Markdown too."""
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]
    rule = ["-" * width for width in widths]
    return "\n".join("| " + " | ".join(str(cell).ljust(width) for cell, width in zip(row, widths))
                     + " |" for row in [header, rule, *rows])


# ---- Comparing --------------------------------------------------------------

@dataclasses.dataclass
class Series:
    name: str
    argv: list
    stdin: str = os.devnull
    check: object = None
    before: object = None  # called before each run
    scale: float = 1.0     # counts so often: for a peer that is given fewer jobs
    divide: float = 1.0    # its time alone is divided by this: for an ideal
    printed: bool = False  # its time is what it prints, start-up not counted
    first_byte: bool = False
    env: dict = None
    samples: list = dataclasses.field(default_factory=list)

    def measure(self, scratch):
        if self.before:
            self.before()
        sample, out, err = run(scratch, self.argv, self.stdin, self.env, self.first_byte)
        try:
            seconds = float(out) if self.printed else sample.seconds
            if self.check:
                self.check(out, err)
        except (Wrong, ValueError) as e:
            raise Wrong(f"{brief(self.argv)}: {e}") from None
        return Sample(seconds * self.scale / self.divide, sample.cpu * self.scale)


class Comparison:
    """Commands that do the same work, measured in turns; the first one is the
    reference of the table."""

    def __init__(self, bench, units, unit):
        self.bench, self.units, self.unit, self.series = bench, units, unit, {}

    def add(self, name, argv, **how):
        self.series[name] = Series(name, [str(word) for word in argv], **how)

    def measure(self, rounds):
        for number in range(rounds + 1):  # the first one only warms up
            for series in self.series.values():
                self.bench.progress(f"round {number} of {rounds}: {series.name}")
                sample = series.measure(self.bench.scratch)
                if number:
                    series.samples.append(sample)

    def of(self, name, what):
        return [getattr(sample, what) for sample in self.series[name].samples]

    def ratio(self, name, reference, what="seconds"):
        pairs = zip(self.of(name, what), self.of(reference, what))
        return statistics.median(a / b if b else float("inf") for a, b in pairs)

    def claim_speed(self, report, name, reference, bound):
        """That `name` has at least this share of the reference's speed."""
        if reference in self.series:
            report.claim(f"speed of {name} against {reference}", self.ratio(reference, name), bound)

    def into(self, report):
        first = next(iter(self.series))
        each = [] if self.units == 1 else [f"per {self.unit}"]
        report.header = ["what", "time", "from - to", *each, f"CPU per {self.unit}",
                         "speed against the first"]
        for name, series in self.series.items():
            seconds, cpu = self.of(name, "seconds"), self.of(name, "cpu")
            middle = statistics.median(seconds)
            report.rows.append([
                name, readable(middle), f"{readable(min(seconds))} - {readable(max(seconds))}",
                *(readable(middle / self.units) for _ in each),
                "" if series.printed else readable(statistics.median(cpu) / self.units),
                figure(self.ratio(first, name))])
            report.raw.append({
                "name": name, "units": self.units, "unit": self.unit, "scale": series.scale,
                "divide": series.divide, "seconds": seconds,
                "cpu": None if series.printed else cpu})


def progress(what):
    """What goes on, where somebody looks."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{what}", end="", file=sys.stderr, flush=True)
