"""How fast the executor is beside the standard library's, as ratios of alternating rounds in one run.

    ORCHESTRATOR=target/release/orchestrator python3 python/bench/executor.py [--rounds 5] [--json FILE] [--markdown FILE] [NAME...]

Every measure is taken from all contestants in turn, round after round, so that whatever else the machine does meets them
all; the median counts. The last column is what the project demands of the ratio to the contestant named in front of it.
Beside other programs' load, figures in one direction (latency, start) say little.
"""

import argparse
import asyncio
import atexit
import functools
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from concurrent.futures import ProcessPoolExecutor

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, PACKAGE)

from orchestrator import AsyncPool, Executor

WORKERS = 2


def echo(value=None):
    return value


def array_echo(array):
    return array


# ---- Measures: each gives one figure of one pool


def submit_and_result(pool, count=20_000):
    began = time.perf_counter()
    futures = [pool.submit(echo, n) for n in range(count)]
    for future in futures:
        future.result()
    return count / (time.perf_counter() - began)


def gather(pool, count=10_000):
    async def main():
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        await asyncio.gather(*[loop.run_in_executor(pool, echo, n) for n in range(count)])
        return count / (time.perf_counter() - began)

    return asyncio.run(main())


def gather_async_pool(pool, count=20_000):
    """`pool` is not used: an AsyncPool belongs to a loop. Its start does not count."""

    async def main():
        async with AsyncPool(WORKERS) as pool:
            await asyncio.gather(*[pool.submit(echo, n) for n in range(100)])
            began = time.perf_counter()
            await asyncio.gather(*[pool.submit(echo, n) for n in range(count)])
            return count / (time.perf_counter() - began)

    return asyncio.run(main())


def latency_us(pool, count=1500):
    times = []
    for n in range(count):
        began = time.perf_counter()
        pool.submit(echo, n).result()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def map_without_chunksize(pool, count=1_000_000):
    return _consumed(lambda: pool.map(echo, range(count)), count)


def map_with_best_chunksize(pool, count=1_000_000):
    return max(_consumed(lambda: pool.map(echo, range(count), chunksize=size), count) for size in (1000, 5000, 20_000))


def pool_map_with_best_chunksize(pool, count=1_000_000):
    best = 0.0
    for size in 1000, 5000, 20_000:
        began = time.perf_counter()
        pool.map(echo, range(count), chunksize=size)
        best = max(best, count / (time.perf_counter() - began))
    return best


def _consumed(start, count):
    began = time.perf_counter()
    for _ in start():
        pass
    return count / (time.perf_counter() - began)


def echo_1_mb(pool, count=40):
    data = os.urandom(1 << 20)
    began = time.perf_counter()
    for future in [pool.submit(echo, data) for _ in range(count)]:
        future.result()
    return count / (time.perf_counter() - began)


def echo_100_mb_numpy_ms(pool):
    import numpy

    array = numpy.zeros(100 << 17)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        pool.submit(array_echo, array).result()
        times.append(time.perf_counter() - began)
    return min(times) * 1e3


_START = """
import time, sys
began = time.perf_counter()
sys.path.insert(0, %(package)r)
if %(name)r == "alone":
    import concurrent.futures, os
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    os.posix_spawn(sys.executable, [sys.executable, "-c", "import os; os.write(%%d, b'.')" %% writing], os.environ)
    os.read(reading, 1)
    print(time.perf_counter() - began)
    sys.exit()
if %(name)r == "ours":
    from orchestrator import Executor
    pool = Executor(2)
else:
    from concurrent.futures import ProcessPoolExecutor
    import multiprocessing
    pool = ProcessPoolExecutor(2, multiprocessing.get_context(%(name)r))
if __name__ == "__main__":
    assert pool.submit(abs, -1).result() == 1
    print(time.perf_counter() - began)
    pool.shutdown()
"""


def start_to_first_result_ms(name, python=sys.executable):
    """In a fresh interpreter, from its first line on. "alone" is no pool: what every pool imports, and an interpreter's
    start until it runs its first line."""
    code = _START % {"package": PACKAGE, "name": name}
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return float(subprocess.run([python, "-c", code], capture_output=True, check=True, env=environment).stdout) * 1e3


def start_in_virtual_environment_ms(name):
    """The same in a fresh virtual environment, whose `site-packages` imports nothing into each interpreter."""
    return start_to_first_result_ms(name, virtual_environment())


@functools.cache
def virtual_environment():
    """The interpreter of one of this Python. It goes with this process."""
    place = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    venv.create(place)
    return os.path.join(place, "bin", "python")


# name: (measures by contestant, whether more is better, {contestant: least ratio or, if less is better, most, or None})
_ALL = ("ours", "fork", "spawn")
_STARTS = (*_ALL, "alone")
MEASURES = {
    "submit + result of 20,000, jobs/s": (dict.fromkeys(_ALL, submit_and_result), True, {"fork": 4, "spawn": 4}),
    "asyncio.gather of 10,000, jobs/s": (dict.fromkeys(_ALL, gather), True, {"fork": 2, "spawn": 2}),
    "AsyncPool: gather of 20,000, jobs/s": (
        {"ours": gather_async_pool, "fork": gather, "spawn": gather},
        True,
        {"fork": 10, "spawn": 10},
    ),
    "latency p50, us": (dict.fromkeys(_ALL, latency_us), False, {"fork": 1.1, "spawn": 1.1}),
    "map of 1,000,000, items/s": (
        {
            "ours": map_without_chunksize,
            "fork": map_with_best_chunksize,
            "spawn": map_with_best_chunksize,
            "Pool": pool_map_with_best_chunksize,
        },
        True,
        {"fork": 1, "spawn": 1, "Pool": 0.5},
    ),
    "1 MB bytes echo, jobs/s": (dict.fromkeys(_ALL, echo_1_mb), True, {"fork": 1, "spawn": 1.5}),
    "100 MB numpy echo, ms": (dict.fromkeys(("ours", "fork"), echo_100_mb_numpy_ms), False, {"fork": 0.25}),
    "start to first result, fresh virtual environment, ms": (
        dict.fromkeys(_STARTS, start_in_virtual_environment_ms),
        False,
        {"spawn": 0.6, "alone": None},
    ),
    "start to first result, this Python as it is, ms": (
        dict.fromkeys(_STARTS, start_to_first_result_ms),
        False,
        {"spawn": 0.6, "alone": None},
    ),
}

CONTESTANTS = {
    "fork": "ProcessPoolExecutor, fork",
    "spawn": "ProcessPoolExecutor, spawn",
    "Pool": "multiprocessing.Pool",
    "alone": "an interpreter alone",
}

PREFACE = """# Performance of the Python package

Written by `python/bench/executor.py --markdown docs/performance-python.md`. Run that to measure it all again; name some
of the rows to measure only those.

Two workers each, the same functions, in turns in one run. `map` of the others is that with the best `chunksize` of a
search; ours has none. Ratios are what to look at, each the median of the rounds' ratios: absolute figures are this
machine's.
"""

BEHIND_THE_FIGURES = """## Behind the figures

- From start to first result takes an interpreter's start in a worker, whatever the pool. "An interpreter alone" is no
  pool: the import of `concurrent.futures`, and an interpreter's start until it runs its first line. No pool can be
  quicker.
- What a `.pth` file in `site-packages` imports is imported by every interpreter, so it adds the same to both sides and
  dilutes the ratio; so one row is of a virtual environment that was just made, and one of the Python which measures. The
  machine of the table has another Python, of the same version, in which such a file imports `certifi`: there the ratio was
  0.62 to 0.79 on several days, so 0.6 is missed. Most of it is out of reach: an interpreter alone took 42 ms there, 0.58
  of the 73 ms of `ProcessPoolExecutor` (11 rounds). Of the 57 ms that ours took, 15 were ours, as many as elsewhere. What
  could be left out are those `.pth` files, which a worker has to read: editable installations are made of them.
- With NumPy in the Python that measures (`PYTHON=$(scripts/python-for-tests)`), 100 MB of it are measured too.
"""


def make_pools():
    pools = {
        "ours": Executor(WORKERS),
        "fork": ProcessPoolExecutor(WORKERS, multiprocessing.get_context("fork")),
        "spawn": ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")),
    }
    # First, before there are threads to be forked.
    pools = {"Pool": multiprocessing.get_context("fork").Pool(WORKERS), **pools}
    for name in "fork", "spawn", "ours":
        list(pools[name].map(echo, range(100)))
    return pools


def measure(rounds, names):
    pools = make_pools()
    table = {}
    for title, (contestants, more_is_better, demands) in MEASURES.items():
        if names and not any(name in title for name in names):
            continue
        if "numpy" in title:
            try:
                import numpy  # noqa: F401
            except ImportError:
                continue
        starts = "start" in title
        figures = {name: [] for name in contestants}
        for _ in range(rounds):
            for name, take in contestants.items():
                figures[name].append(take(name if starts else pools[name]))
        medians = {name: statistics.median(values) for name, values in figures.items()}
        # Of each round, since machines are slower for a while, for all of them.
        ratios = {
            name: statistics.median(ours / other for ours, other in zip(figures["ours"], values))
            for name, values in figures.items()
            if name != "ours"
        }
        held = {
            name: demanded is None or (ratios[name] >= demanded if more_is_better else ratios[name] <= demanded)
            for name, demanded in demands.items()
        }
        table[title] = {"medians": medians, "figures": figures, "ratios": ratios, "demands": demands, "held": held}
        show(title, table[title], more_is_better)
    for pool in pools.values():
        pool.terminate() if hasattr(pool, "terminate") else pool.shutdown()
    return table


def figure(value):
    return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"


def show(title, row, more_is_better):
    medians = "  ".join(f"{name} {figure(value)}" for name, value in row["medians"].items())
    sign = ">=" if more_is_better else "<="
    verdicts = "  ".join(
        f"{name} {row['ratios'][name]:.2f}"
        + (f" ({sign} {demanded}: {'yes' if row['held'][name] else 'NO'})" if demanded is not None else "")
        for name, demanded in row["demands"].items()
    )
    print(f"{title:36} {medians}\n{'':36} ours / {verdicts}", flush=True)


def page(table, rounds):
    rows = ["| what | of ours | of the other | ratio | wanted | |", "| --- | --- | --- | --- | --- | --- |"]
    for title, row in table.items():
        sign = "at least" if MEASURES[title][1] else "at most"
        for name, demanded in row["demands"].items():
            cells = title, figure(row["medians"]["ours"]), f"{CONTESTANTS[name]}: {figure(row['medians'][name])}"
            wanted, verdict = f"{sign} {demanded}", "holds" if row["held"][name] else "MISSED"
            if demanded is None:
                wanted = verdict = ""
            rows.append(f"| {' | '.join(cells)} | {row['ratios'][name]:.2f} | {wanted} | {verdict} |")
    facts = f"- Python {sys.version.split()[0]}, {len(os.sched_getaffinity(0))} CPUs, {time.strftime('%Y-%m-%d')}, medians of {rounds} rounds"
    return "\n".join([PREFACE, facts, "", *rows, "", BEHIND_THE_FIGURES])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="FILE", help="every figure")
    parser.add_argument("--markdown", metavar="FILE", help="the table of docs/performance-python.md")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    table = measure(arguments.rounds, arguments.names)
    result = {"python": sys.version.split()[0], "load": os.getloadavg(), "rounds": arguments.rounds, "measures": table}
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(result, file, indent=1)
    if arguments.markdown:
        with open(arguments.markdown, "w") as file:
            file.write(page(table, arguments.rounds))


if __name__ == "__main__":
    main()
