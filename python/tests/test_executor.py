"""The executor as a replacement of the standard library's: what a program sees when nothing goes wrong."""

import asyncio
import concurrent.futures
import functools
import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import unittest
import warnings
import weakref

import executor_jobs as jobs
from executor_case import LONG_S, PACKAGE, ExecutorCase, descriptors, wait_until

import orchestrator
from orchestrator import AsyncPool, Executor, InitializerFailed


class Construction(unittest.TestCase):
    def test_arguments_are_checked_as_in_the_standard_library(self):
        for workers in 0, -1:
            with self.assertRaisesRegex(ValueError, "max_workers must be greater than 0"):
                Executor(workers)
        with self.assertRaisesRegex(TypeError, "initializer must be a callable"):
            Executor(1, initializer=5)
        with self.assertRaisesRegex(TypeError, "max_tasks_per_child must be an integer"):
            Executor(1, max_tasks_per_child=1.5)
        with self.assertRaisesRegex(ValueError, "max_tasks_per_child must be >= 1"):
            Executor(1, max_tasks_per_child=0)
        fork, spawn = multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")
        with self.assertRaisesRegex(ValueError, "incompatible with the 'fork'"):
            Executor(1, fork, max_tasks_per_child=1)
        with self.assertWarnsRegex(RuntimeWarning, "'fork'"):
            Executor(1, fork)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Executor(1, spawn, max_tasks_per_child=1)
            Executor()

    def test_own_arguments_are_checked(self):
        for wrong in (
            {"on_crash": "explode"},
            {"timeout": 0},
            {"timeout": -1.5},
            {"idle_after": -1},
            {"idle_after": 0},
            {"queue_timeout": 0},
            {"retries": -1},
            {"memory": 0},
            {"memory": "much"},
            {"min_workers": 3},
            {"max_pending": 0},
            {"priority": 1 << 31},
        ):
            with self.subTest(wrong), self.assertRaises(ValueError):
                Executor(2, **wrong)
        for wrong in (
            {"timeout": "5"},
            {"retries": 1.0},
            {"priority": "high"},
            {"max_pending": True},
            {"max_workers": 2.0},
            {"max_workers": True},
            {"max_workers": "2"},
            {"max_tasks_per_child": True},
            {"idle_after": "soon"},
        ):
            for kind in Executor, AsyncPool:
                if kind is Executor or "max_pending" not in wrong:
                    with self.subTest(wrong, kind=kind), self.assertRaisesRegex(TypeError, *wrong):
                        kind(**wrong)
        with self.assertRaisesRegex(TypeError, "max_workers must be an integer, not 1.5"):
            Executor(2).resize(1.5)

    def test_integers_of_other_kinds(self):
        class Four:
            def __index__(self):
                return 4

            def __float__(self):
                return 4.0

        self.assertEqual(Executor(Four())._max_workers, 4)
        self.assertEqual(Executor(Four(), timeout=Four())._options.timeout, 4.0)
        self.assertEqual(Executor(5, min_workers=Four(), retries=Four())._client.settings.min_workers, 4)

    def test_the_version_is_that_of_the_program(self):
        manifest = os.path.join(PACKAGE, "..", "Cargo.toml")
        if not os.path.exists(manifest):
            self.skipTest("not in the repository")
        with open(manifest) as file:
            self.assertIn('\nversion = "%s"\n' % orchestrator.__version__, file.read())

    def test_all_names(self):
        self.assertEqual(sorted(orchestrator.__all__), sorted(orchestrator._HOME))
        for name in orchestrator.__all__:
            self.assertEqual(getattr(orchestrator, name).__name__, name)

    def test_it_is_an_executor(self):
        pool = Executor(3)
        self.assertIsInstance(pool, concurrent.futures.Executor)
        self.assertEqual(pool._max_workers, 3)
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        if sys.version_info >= (3, 11):
            with self.assertRaises(TypeError):
                loop.set_default_executor(pool)

    def test_no_process_before_the_first_job(self):
        before = descriptors(), threading.active_count()
        with Executor(2) as pool:
            self.assertEqual((descriptors(), threading.active_count()), before)
        self.assertIsNone(pool._client.agent)
        with self.assertRaisesRegex(RuntimeError, "cannot schedule new futures after shutdown"):
            pool.submit(jobs.echo, 1)


class Submitting(ExecutorCase):
    def test_any_arguments(self):
        pool = self.pool(2)
        self.assertEqual(pool.submit(jobs.add, 1, y=2).result(LONG_S), 3)
        names = {"self": 1, "fn": 2, "args": 3, "future": 4}
        self.assertEqual(pool.submit(jobs.any_names, 5, **names).result(LONG_S), ((5,), names))
        self.assertEqual(pool.submit(functools.partial(jobs.add, 4), y=1).result(LONG_S), 5)
        self.assertEqual(pool.submit("a-b".split, "-").result(LONG_S), ["a", "b"])
        with self.assertRaises(TypeError):
            pool.submit()

    def test_sizes(self):
        pool = self.pool(2)
        for size in 0, 1, 65536, 262_100, 262_200, 300_000, 1_500_000, 6_000_000:
            with self.subTest(size):
                data = os.urandom(size)
                self.assertTrue(pool.submit(jobs.echo, data).result(LONG_S) == data)
                text = "x" * size  # text has no buffer: it goes by the link
                self.assertTrue(pool.submit(jobs.echo, text).result(LONG_S) == text)
                several = [bytearray(data), data]
                self.assertTrue(pool.submit(jobs.echo, several).result(LONG_S) == several)

    def test_large_ones_at_once_without_segments(self):
        pool = self.pool(2)
        self.assertEqual(pool.submit(jobs.echo, 1).result(LONG_S), 1)
        pool._client.segments.enabled = False
        values = [bytes([n]) * 2_000_000 for n in range(12)]
        futures = [pool.submit(jobs.echo, value) for value in values]
        for future, value in zip(futures, values):
            self.assertTrue(future.result(LONG_S) == value)

    def test_the_first_run_and_the_others_can_be_cancelled(self):
        pool = self.pool(2)
        futures = [pool.submit(jobs.wait_for_file, self.path("go"), n) for n in range(10)]
        self.assertEqual([future.running() for future in futures], [True] * 3 + [False] * 7)
        self.assertEqual([future.cancel() for future in futures], [False] * 3 + [True] * 7)
        later = pool.submit(jobs.echo, "later")
        self.touch("go")
        self.assertEqual([future.result(LONG_S) for future in futures[:3]], [0, 1, 2])
        self.assertEqual(later.result(LONG_S), "later")
        done, _ = concurrent.futures.wait(futures, LONG_S)
        self.assertEqual(len(done), 10)

    def test_from_many_threads(self):
        pool = self.pool(2)
        results = []

        def submit_some(start):
            futures = [pool.submit(jobs.add, start, n) for n in range(200)]
            results.extend(future.result(LONG_S) for future in futures)

        threads = [threading.Thread(target=submit_some, args=(n * 1000,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG_S)
        self.assertEqual(sorted(results), sorted(n * 1000 + m for n in range(8) for m in range(200)))

    def test_from_callbacks(self):
        pool = self.pool(2)
        finished = threading.Event()

        def again(future):
            if future.result() == 300:
                finished.set()
            else:
                pool.submit(jobs.add, future.result(), 1).add_done_callback(again)

        pool.submit(jobs.add, 0, 1).add_done_callback(again)
        self.assertTrue(finished.wait(LONG_S))

    def test_a_callback_that_raises_hurts_nobody(self):
        pool = self.pool(1)
        hook, threading.excepthook = threading.excepthook, lambda _: None
        self.addCleanup(setattr, threading, "excepthook", hook)

        def leave(_):
            raise SystemExit(1)

        future = pool.submit(jobs.wait_for_file, self.path("go"), 1)
        future.add_done_callback(leave)
        self.touch("go")
        self.assertEqual(future.result(LONG_S), 1)
        self.assertEqual(pool.submit(jobs.echo, 2).result(LONG_S), 2)

    def test_no_reference_is_kept(self):
        pool = self.pool(1)
        argument = jobs.MyObject()
        gone = weakref.ref(argument)
        future = pool.submit(jobs.echo, argument)
        del argument
        result = future.result(LONG_S)
        wait_until(lambda: gone() is None)
        gone = weakref.ref(result)
        del result, future
        wait_until(lambda: gone() is None)

    def test_waiting_jobs_are_not_pickled(self):
        pool = self.pool(1)
        blocked = [pool.submit(jobs.wait_for_file, self.path("go")) for _ in range(2)]
        large = bytearray(1 << 20)
        futures = [pool.submit(len, large) for _ in range(100)]
        self.assertEqual(sum(work.data is not None for work in pool._client.backlog._usual), 0)
        self.touch("go")
        self.assertEqual({future.result(LONG_S) for future in futures + blocked}, {1 << 20, None})

    def test_many_small_ones(self):
        pool = self.pool(2)
        futures = [pool.submit(jobs.echo, n) for n in range(5000)]
        self.assertEqual([future.result(LONG_S) for future in futures], list(range(5000)))
        stats = pool.stats()
        self.assertEqual((stats.submitted, stats.done, stats.pending, stats.running), (5000, 5000, 0, 0))

    def test_asyncio(self):
        pool = self.pool(2)

        async def main():
            loop = asyncio.get_running_loop()
            tasks = [loop.run_in_executor(pool, functools.partial(jobs.add, n, y=1)) for n in range(200)]
            return await asyncio.gather(*tasks)

        self.assertEqual(asyncio.run(main()), list(range(1, 201)))


class Workers(ExecutorCase):
    def test_they_start_on_demand_and_are_used_again(self):
        pool = self.pool(4)
        pids = {pool.submit(jobs.pid).result(LONG_S) for _ in range(10)}
        self.assertEqual(len(pids), 1)
        self.assertEqual(set(pool._processes), pids)
        futures = [pool.submit(jobs.wait_for_file, self.path("go")) for _ in range(4)]
        wait_until(lambda: len(self.lines("go.started")) == 4)
        self.touch("go")
        concurrent.futures.wait(futures, LONG_S)
        self.assertEqual(len(pool._processes), 4)

    def test_initializer(self):
        pool = self.pool(2, initializer=jobs.initialize, initargs=("set",))
        self.assertEqual(set(pool.map(jobs.initial, range(20))), {"set"})

    def test_large_initargs(self):
        value = b"i" * 3_000_000
        pool = self.pool(1, initializer=jobs.initialize, initargs=(value,))
        self.assertTrue(pool.submit(jobs.initial).result(LONG_S) == value)

    def test_initargs_without_a_pickle(self):
        before = descriptors()
        pool = self.pool(1, initializer=jobs.initialize, initargs=(threading.Lock(),))
        for _ in range(2):
            with self.assertRaisesRegex(InitializerFailed, "cannot be pickled"):
                pool.submit(jobs.echo, 1)
        self.assertLessEqual(descriptors(), before + 1)  # the board of the segments

    def test_a_script_without_its_main_guard_is_told(self):
        done = self.run_script(
            """
from orchestrator import Executor
with Executor(1) as pool:
    print(pool.submit(abs, -1).result())
    def double(n):
        return 2 * n
    print(pool.submit(double, 1).exception())
""",
            check=False,
        )
        self.assertEqual(done.stdout.splitlines()[0], "1")
        (line,) = done.stdout.splitlines()[1:]
        self.assertRegex(line, r"^double\(\): the program starts a pool .* under `if __name__ == \"__main__\":`$")

    def test_max_tasks_per_child(self):
        pool = self.pool(1, max_tasks_per_child=3)
        pids = [pool.submit(jobs.pid).result(LONG_S) for _ in range(9)]
        self.assertEqual(len(set(pids)), 3)

    def test_a_pool_in_a_pool(self):
        pool = self.pool(2)
        self.assertEqual(list(pool.map(jobs.nested, range(4))), [1, 2, 3, 4])

    def test_they_are_out_of_reach_of_the_terminal(self):
        pool = self.pool(1)
        session, agent = pool.submit(jobs.session).result(LONG_S)
        self.assertNotEqual(session, os.getsid(0))
        self.assertEqual(agent, pool._client.agent.process.pid)

    def test_threads_of_libraries_are_limited(self):
        pool = self.pool(1)
        for name in "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS":
            expected = os.environ.get(name) or str(len(os.sched_getaffinity(0)))
            self.assertEqual(pool.submit(jobs.environment, name).result(LONG_S), expected)

    def test_output_arrives_at_the_descriptors(self):
        done = self.run_script(
            """
import executor_jobs as jobs
from orchestrator import Executor
if __name__ == "__main__":
    print("first")
    with Executor(1) as pool:
        pool.submit(jobs.say, "printed").result()
        pool.submit(jobs.write_to_descriptor, 1, b"written\\n").result()
        pool.submit(jobs.say, "complained", "stderr").result()
    print("last")
""",
            check=False,
        )
        self.assertEqual((done.stdout, done.stderr), ("first\nprinted\nwritten\nlast\n", "complained\n"))

    def test_shared_memory_outlives_the_workers_that_have_used_it(self):
        for order in ("memory, pool", "pool, memory"):
            with self.subTest(order):
                script = """
from orchestrator import Executor
import executor_jobs as jobs
PIECES = {
    "memory": "from multiprocessing import shared_memory; memory = shared_memory.SharedMemory(create=True, size=8)",
    "pool": "pool = Executor(1, max_tasks_per_child=1); pool.submit(abs, 1).result()",
}
if __name__ == "__main__":
    for piece in sys.argv[1].split(", "):
        exec(PIECES[piece])
    pids = [pool.submit(jobs.write_to, memory.name, n).result() for n in range(3)]
    made = pool.submit(jobs.make_memory).result()
    pool.shutdown()
    assert memory.buf[0] == 2 and len(set(pids)) == 3
    made = shared_memory.SharedMemory(made)
    assert made.buf[0] == 9
    for each in memory, made:
        each.close()
        each.unlink()
"""
                self.run_script(script, order)

    def test_a_program_that_comes_to_multiprocessing_late_has_the_key_of_its_workers(self):
        script = """
from orchestrator import Executor
import executor_jobs as jobs
if __name__ == "__main__":
    before = "multiprocessing" in sys.modules
    with Executor(1) as pool:
        key = pool.submit(jobs.authkey).result()
        import multiprocessing
        assert bytes(multiprocessing.current_process().authkey) == key
        assert before or multiprocessing.get_start_method(allow_none=True) is None
        assert not any(type(finder).__module__.startswith("orchestrator") for finder in sys.meta_path)
        with multiprocessing.Manager() as manager:
            shared = manager.dict()
            pool.submit(jobs.enter, shared, "a", 1).result()
            assert shared["a"] == 1
    with Executor(1) as pool:
        assert pool.submit(jobs.authkey).result() == key
"""
        self.run_script(script)

    def test_descriptors_that_this_program_would_inherit_stay_with_it(self):
        file = open(self.path("file"), "w")
        self.addCleanup(file.close)
        os.set_inheritable(file.fileno(), True)
        found = self.pool(1).submit(jobs.open_files).result()
        self.assertNotIn(os.path.realpath(self.path("file")), found)

    def test_functions_of_the_script(self):
        done = self.run_script(
            """
import sys
from dataclasses import dataclass
from orchestrator import Executor
@dataclass
class Point:
    x: int
def double(point):
    return Point(point.x * 2)
if __name__ == "__main__":
    with Executor(2) as pool:
        assert pool.submit(double, Point(4)).result() == Point(8)
        assert list(pool.map(double, [Point(1), Point(2)])) == [Point(2), Point(4)]
        assert pool.submit(eval, "__import__('sys').argv").result() == sys.argv
""",
            "an argument",
        )
        self.assertEqual(done.stdout, "")

    def test_a_program_that_has_gone_elsewhere_before_its_first_job(self):
        """What its relative paths meant when it began they mean in workers, as with the standard library."""
        with open(self.path("beside.py"), "w") as file:
            file.write("def here():\n    return 'beside'\n")
        with open(self.path("main.py"), "w") as file:
            file.write("def here():\n    return __name__\n")
        program = f"""
import sys
sys.modules["cloudpickle"] = None
sys.path.append({PACKAGE!r})
from orchestrator import Executor
import beside, os, types
main = types.ModuleType("__main__")  # as programs that run another one, a debugger for example, make it
main.__file__ = "main.py"
exec(compile(open("main.py").read(), "main.py", "exec"), main.__dict__)
sys.modules["__main__"] = main
os.chdir("/")
with Executor(1) as pool:
    print(pool.submit(beside.here).result(), pool.submit(main.here).result(), pool.submit(os.getcwd).result())
"""
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LONG_S
        )
        self.assertEqual((done.stdout, done.stderr), ("beside __mp_main__ /\n", ""))

    def test_the_interpreter_that_multiprocessing_was_told(self):
        wrapper = self.path("python")
        with open(wrapper, "w") as file:
            file.write('#!/bin/sh\nWRAPPED=yes exec "%s" "$@"\n' % sys.executable)
        os.chmod(wrapper, 0o755)
        script = """
import multiprocessing, os
from orchestrator import Executor
multiprocessing.set_executable(sys.argv[1])
if __name__ == "__main__":
    with Executor(1) as pool:
        print(pool.submit(os.getenv, "WRAPPED").result())
"""
        self.assertEqual(self.run_script(script, wrapper).stdout, "yes\n")

    def test_a_program_that_does_not_know_its_interpreter(self):
        script = """
from orchestrator import AgentFailed, Executor
for nothing in None, "":
    sys.executable = nothing
    try:
        Executor(1).submit(abs, 1)
    except AgentFailed as error:
        print(error)
"""
        told = self.run_script(script).stdout.splitlines()
        self.assertEqual(len(told), 2)
        for line in told:
            self.assertIn("sys.executable is empty", line)

    def test_pools_leave_nothing(self):
        def one_pool():
            with Executor(1) as pool:
                self.assertEqual(pool.submit(jobs.echo, 1).result(LONG_S), 1)

        one_pool()
        before = descriptors(), threading.active_count()
        for _ in range(5):
            one_pool()
        self.assertEqual((descriptors(), threading.active_count()), before)


class Finding(ExecutorCase):
    def test_a_missing_program_is_named(self):
        script = """
from orchestrator import Executor, AgentFailed
pool = Executor(1)
try:
    pool.submit(abs, 1)
except AgentFailed as error:
    print(error)
"""
        for value, text in ("/nowhere/orchestrator", "is no program"), ("", "not in PATH"):
            done = self.run_script(script, env={"ORCHESTRATOR": value, "PATH": "/nowhere"})
            self.assertIn(text, done.stdout)

    def test_another_program_is_refused(self):
        script = """
from orchestrator import Executor, AgentFailed
with Executor(1) as pool:
    try:
        pool.submit(abs, 1).result(50)
    except AgentFailed as error:  # of the future, or already of submit
        print(error)
"""
        path = self.path("orchestrator")
        for text, expected in (
            ("echo orchestrator-worker protocol 4; cat >/dev/null", "version 4"),
            ("exit 7", "status is 7"),
            ("yes | head -c 100000", "no agent"),
            ("echo 'error: no such thing here'; echo 'try later'; exit 3", "it said 'error: no such thing here try later', and its exit status is 3"),
        ):
            with self.subTest(text):
                with open(path, "w") as file:
                    file.write("#!/bin/sh\n%s\n" % text)
                os.chmod(path, 0o755)
                done = self.run_script(script, env={**os.environ, "ORCHESTRATOR": path})
                self.assertIn(expected, done.stdout)

    def test_importing_is_light(self):
        done = self.run_script(
            """
before = set(sys.modules)  # what an environment has imported
import orchestrator
assert "concurrent.futures" not in set(sys.modules) - before
from orchestrator import Executor
slow = {"asyncio", "multiprocessing", "pickle", "signal", "socket", "subprocess", "typing"}
slow -= before
assert not slow & set(sys.modules), slow & set(sys.modules)
with Executor(1) as pool:
    assert pool.submit(abs, -1).result() == 1
assert not slow & set(sys.modules), slow & set(sys.modules)
"""
        )
        self.assertEqual(done.stdout, "")


if __name__ == "__main__":
    unittest.main()
