"""Runs CPython's own tests of ProcessPoolExecutor with our Executor in its place.

    ORCHESTRATOR=target/debug/orchestrator python3 python/tests/cpython_suite.py [--mode break] [-v] [NAME...]

The tests are CPython 3.11's, and stay outside of this repository: they are taken from the interpreter's own `test` package,
from the file that `$CPYTHON_EXECUTOR_TESTS` names, or from Debian's package `libpython3.11-testsuite`, which is downloaded
into a temporary directory. NAME is a part of a test's name. `--stock` runs them with the standard library's class instead.

`EXCEPTIONS` are the tests that cannot pass, each with the reason. One that passes all the same counts as a failure, so that
the list stays true.
"""

import argparse
import atexit
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.dirname(HERE)
FILE = "test_concurrent_futures.py"
DEBIAN_PACKAGE = "libpython3.11-testsuite"
SHOWN_BY = "ProcessPoolSpawn"
"""The classes of tests that are run: ours has one way to start workers, which is what "spawn" is."""

_QUEUE = "waits for `_call_queue`, which is the standard library's way to its workers; we have none"
_AT_ONCE = "counts `_processes` right after submit; ours are started by the agent, a moment later"
EXCEPTIONS = {
    "test_initializer (FailingInitializer)": "hands the initializer a multiprocessing.Queue, which only inheritance can",
    "test_del_shutdown": _QUEUE,
    "test_shutdown_no_wait": _QUEUE,
    "test_saturation": _AT_ONCE,
    "test_processes_terminate": _AT_ONCE,
    "test_killed_child": "kills a process of `_processes` that has not begun its job; the job then runs in another",
}
"""In both modes: they look into private attributes, or use them."""

POLICY: dict[str, str] = {}
"""Only with `on_crash="fail-job"`: tests that demand a pool which one crash has broken."""


def find_tests():
    """The path of the tests' file."""
    named = os.environ.get("CPYTHON_EXECUTOR_TESTS")
    if named:
        return named
    if sys.version_info[:2] == (3, 11):
        spec = importlib.util.find_spec("test")
        for place in spec.submodule_search_locations or () if spec else ():
            if os.path.exists(os.path.join(place, FILE)):
                return os.path.join(place, FILE)
    place = temporary_directory()
    subprocess.run(["apt-get", "download", DEBIAN_PACKAGE], cwd=place, check=True, stdout=subprocess.DEVNULL)
    (package,) = [name for name in os.listdir(place) if name.endswith(".deb")]
    subprocess.run(["dpkg", "-x", package, "content"], cwd=place, check=True)
    return os.path.join(place, "content", "usr", "lib", "python3.11", "test", FILE)


def temporary_directory():
    place = tempfile.mkdtemp(prefix="cpython-suite-")
    atexit.register(shutil.rmtree, place, True)
    return place


def load(path):
    """The tests' module, by its own name: workers import it as well. Nothing else of its directory is to be found."""
    place = temporary_directory()
    shutil.copy(path, place)
    sys.path.insert(0, place)
    return importlib.import_module(FILE[: -len(".py")])


def replace(module, mode):
    """Puts our class in the place of the standard library's, also in programs that tests start."""
    import concurrent.futures

    sys.path.insert(0, PACKAGE)
    import orchestrator

    class ProcessPoolExecutor(orchestrator.Executor):
        def __init__(self, *args, **kwargs):
            kwargs.setdefault("on_crash", mode)
            super().__init__(*args, **kwargs)

    concurrent.futures.ProcessPoolExecutor = ProcessPoolExecutor
    for value in vars(module).values():
        if isinstance(value, type) and value.__name__.startswith("ProcessPool") and hasattr(value, "executor_type"):
            value.executor_type = ProcessPoolExecutor
    run = module.assert_python_ok
    prologue = (
        f"import sys; sys.path[:0] = {PACKAGE!r}, {os.path.dirname(module.__file__)!r}\n"
        "import concurrent.futures, functools, orchestrator\n"
        f"concurrent.futures.ProcessPoolExecutor = functools.partial(orchestrator.Executor, on_crash={mode!r})\n"
    )

    def assert_python_ok(*args, **env):
        args = list(args)
        if "-c" in args:
            code = textwrap.dedent(args[args.index("-c") + 1]).replace("test.test_concurrent_futures", module.__name__)
            args[args.index("-c") + 1] = prologue + code
        return run(*args, **env, ORCHESTRATOR=os.environ.get("ORCHESTRATOR", ""))

    module.assert_python_ok = assert_python_ok


def all_tests(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from all_tests(test)
        else:
            yield test


def name_of(test):
    name = test._testMethodName
    return f"{name} (FailingInitializer)" if "FailingInitializer" in type(test).__name__ else name


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=["break", "fail-job"], default="break")
    parser.add_argument("--stock", action="store_true")
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    module = load(find_tests())
    if not arguments.stock:
        replace(module, arguments.mode)
    expected = {**EXCEPTIONS, **(POLICY if arguments.mode == "fail-job" else {})}
    selected = [
        test
        for test in all_tests(unittest.defaultTestLoader.loadTestsFromModule(module))
        if type(test).__name__.startswith(SHOWN_BY)
        and (not arguments.names or any(name in test.id() for name in arguments.names))
    ]
    runner = unittest.TextTestRunner(verbosity=2 if arguments.verbose else 1)
    module.setUpModule()
    try:
        result = runner.run(unittest.TestSuite(selected))
    finally:
        unittest.doModuleCleanups()
    bad = {name_of(test) for test, _ in result.failures + result.errors}
    unexpected = sorted(bad - expected.keys())
    passed = sorted({name_of(test) for test in selected} & expected.keys() - bad)
    print(f"{arguments.mode}: {len(selected)} tests, {len(bad)} differ, {len(expected)} of them listed")
    for name in unexpected:
        print(f"  not listed: {name}")
    if arguments.stock:
        passed = []
    for name in passed:
        print(f"  passes, though it is listed: {name}")
    return 1 if unexpected or passed else 0


if __name__ == "__main__":
    sys.exit(main())
