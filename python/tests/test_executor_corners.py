"""Exceptions of unusual classes, and ends at unusual moments: each of these once lost a future or stopped a thread."""

import asyncio
import functools
import gc
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
import unittest
from unittest import mock

import executor_jobs as jobs
from executor_case import HERE, LONG_S, PACKAGE, ExecutorCase, wait_until

from orchestrator import AsyncPool, Executor, QueueTimeout
from orchestrator._errors import AgentFailed, RemoteError, ResultUnreadable


HAVE_CLOUDPICKLE = importlib.util.find_spec("cloudpickle") is not None


class ByValue(ExecutorCase):
    """What cannot be imported by a worker travels by value, as whatever part of a call it comes."""

    PROGRAM = """
import functools
from orchestrator import Executor
class Box:
    def __init__(self, content): self.content = content
    def __repr__(self): return "Box(%r)" % self.content
def put(content): return Box(content)
def set_up(): Box.lid = True
def lid(): return Box.lid
if __name__ == "__main__":
    with Executor(1) as pool:
        print(pool.submit(put, 1).result(), pool.submit(repr, Box(2)).result(), list(pool.map(repr, [Box(3)])))
        print(pool.submit(functools.partial(put, 4)).result(), pool.submit(str, "__main__").result())
        print(pool.submit(repr, [Box(5), b"x" * 1_000_000]).result()[:6], list(pool.map(repr, [Box(6)] * 2)))
"""
    PRINTS = "Box(1) Box(2) ['Box(3)']\nBox(4) __main__\n[Box(5 ['Box(6)', 'Box(6)']\n"

    def run_program(self, *command, **kwargs):
        done = subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            text=True,
            timeout=LONG_S,
            check=False,
            cwd=self.folder,
            env=dict(os.environ, PYTHONPATH=os.pathsep.join((PACKAGE, HERE))),
            **kwargs,
        )
        return done.stdout, done.stderr

    @unittest.skipUnless(HAVE_CLOUDPICKLE, "cloudpickle is not installed")
    def test_lambdas_as_arguments(self):
        pool = self.pool(1)
        self.assertEqual(pool.submit(functools.reduce, lambda a, b: a - b, [5, 1, 1]).result(LONG_S), 3)
        self.assertEqual(pool.submit(sorted, [1, 3, 2], key=lambda x: -x).result(LONG_S), [3, 2, 1])
        self.assertEqual(list(pool.map(jobs.call, [lambda: 1, lambda: 2])), [1, 2])
        large = bytearray(1_000_000)
        for _ in range(2):  # the second finds that large ones are expected
            length = pool.submit(jobs.call, lambda data: len(data), large).result(LONG_S)
            self.assertEqual(length, len(large))

        async def alone():
            async with AsyncPool(1) as pool:
                return [await pool.run(jobs.call, lambda: 3), [x async for x in pool.map(jobs.call, [lambda: 4])]]

        self.assertEqual(asyncio.run(asyncio.wait_for(alone(), LONG_S)), [3, [4]])

    @unittest.skipUnless(HAVE_CLOUDPICKLE, "cloudpickle is not installed")
    def test_objects_of_a_program_that_cannot_be_imported(self):
        os.mkdir(self.path("package"))
        for name in "package/__main__.py", "script.py":
            with open(self.path(name), "w") as file:
                file.write(self.PROGRAM)
        self.assertEqual(self.run_program("-", input=self.PROGRAM), (self.PRINTS, ""))
        self.assertEqual(self.run_program("-c", self.PROGRAM), (self.PRINTS, ""))
        self.assertEqual(self.run_program("-m", "package"), (self.PRINTS, ""))
        self.assertEqual(self.run_program("package"), (self.PRINTS, ""))
        self.assertEqual(self.run_program("-m", "cProfile", "-o", os.devnull, "script.py"), (self.PRINTS, ""))

    @unittest.skipUnless(HAVE_CLOUDPICKLE, "cloudpickle is not installed")
    def test_a_program_that_a_shell_hands_on(self):
        with open(self.path("script.py"), "w") as file:
            file.write(self.PROGRAM)
        with open(self.path("script.py")) as script:
            self.assertEqual(self.run_program("/dev/stdin", stdin=script), (self.PRINTS, ""))
        read, write = os.pipe()
        os.write(write, self.PROGRAM.encode())
        os.close(write)
        self.addCleanup(os.close, read)
        self.assertEqual(self.run_program("/dev/fd/%d" % read, pass_fds=[read]), (self.PRINTS, ""))

    @unittest.skipUnless(HAVE_CLOUDPICKLE, "cloudpickle is not installed")
    def test_an_initializer_of_such_a_program(self):
        program = self.PROGRAM.split("if __name__")[0] + """
with Executor(1, initializer=set_up) as pool:
    print(pool.submit(lid).result())
"""
        self.assertEqual(self.run_program("-", input=program), ("True\n", ""))

    def test_without_cloudpickle_it_is_named(self):
        program = """
import sys
sys.modules["cloudpickle"] = None
from orchestrator import Executor
def double(x): return 2 * x
with Executor(1) as pool:
    print(pool.submit(double, 1).exception())
"""
        stdout, stderr = self.run_program("-", input=program)
        self.assertIn("the package cloudpickle", stdout, stderr)


class Exceptions(ExecutorCase):
    def test_one_that_cannot_be_changed(self):
        pool = self.pool(1)
        raised = pool.submit(jobs.leave, jobs.Frozen, 3)
        unpicklable = pool.submit(jobs.echo, jobs.FrozenAtPickle())
        partial = pool.map(jobs.leave, [jobs.Frozen] * 3, [5] * 3, chunksize=3)
        others = [pool.submit(jobs.echo, n) for n in range(20)]
        self.assertEqual([self.outcome(future) for future in others], list(range(20)))
        # Pickle cannot make one anew either.
        self.assertIsInstance(self.outcome(raised), RemoteError)
        self.assertEqual(self.outcome(unpicklable), jobs.Frozen(4))
        with self.assertRaises(RemoteError):
            next(partial)

    def test_one_without_a_text(self):
        pool = self.pool(1)
        unreadable = pool.submit(jobs.no_text_at_unpickle)
        self.assertIsInstance(self.outcome(unreadable), ResultUnreadable)
        self.assertEqual(self.outcome(pool.submit(jobs.echo, 1)), 1)

    def test_both_in_an_event_loop(self):
        async def main():
            async with AsyncPool(1) as pool:
                futures = [pool.submit(jobs.echo, 0), pool.submit(jobs.echo, jobs.FrozenAtPickle())]
                futures += [pool.submit(jobs.no_text_at_unpickle), pool.submit(jobs.echo, 3)]
                return await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), LONG_S)

        first, frozen, unreadable, last = asyncio.run(main())
        self.assertEqual((first, frozen, last), (0, jobs.Frozen(4), 3))
        self.assertIsInstance(unreadable, ResultUnreadable)


class Ends(ExecutorCase):
    @unittest.skipIf(sys.version_info < (3, 9), "the end of a program comes later there")
    def test_a_job_that_fails_after_the_programs_last_line(self):
        for how in "raise", "die":
            done = self.run_script(
                """
import threading, time
import executor_jobs as jobs
from orchestrator import Executor

def wait(future):
    try:
        future.result()
    except Exception as error:
        print(type(error).__name__)

if __name__ == "__main__":
    pool = Executor(1)
    future = pool.submit(jobs.raise_after, sys.argv[1], sys.argv[2])
    threading.Thread(target=wait, args=(future,)).start()
    def go():
        while not threading._SHUTTING_DOWN:
            time.sleep(0.01)
        time.sleep(0.1)
        open(sys.argv[1], "w").close()

    threading.Thread(target=go).start()
""",
                self.path(how),
                how,
            )
            self.assertEqual(done.stdout, {"raise": "ValueError\n", "die": "WorkerDied\n"}[how])

    def test_a_map_whose_inputs_wait_while_the_pool_is_shut_down(self):
        for cancel in False, True:
            pool = self.pool(1)
            reading, go = threading.Event(), threading.Event()

            def inputs():
                yield from range(40)
                reading.set()
                go.wait(LONG_S)
                yield 100

            seen = []

            def consume():
                try:
                    seen.extend(pool.map(jobs.echo, inputs()))
                except BaseException as error:
                    seen.append(error)

            consumer = threading.Thread(target=consume, daemon=True)
            consumer.start()
            self.assertTrue(reading.wait(LONG_S))
            pool.shutdown(wait=False, cancel_futures=cancel)
            time.sleep(0.1)  # the pool may end meanwhile, or not: both must do
            go.set()
            consumer.join(LONG_S)
            self.assertFalse(consumer.is_alive())

    def test_a_map_in_a_cycle_is_collected_anywhere(self):
        pool = self.pool(1)
        old = gc.get_threshold()
        self.addCleanup(gc.set_threshold, *old)
        gc.set_threshold(20)
        for _ in range(50):
            cycle = [pool.map(jobs.echo, iter(range(100)))]
            next(cycle[0])
            cycle.append(cycle)
            del cycle
            pool.submit(jobs.echo, 1).result(LONG_S)

    def test_room_that_a_late_job_leaves(self):
        pool = self.pool(1, max_pending=2)
        running = pool.submit(jobs.wait_for_file, self.path("go"))
        wait_until(lambda: self.lines("go.started"), "the job's start")
        late = pool.options(queue_timeout=0.1).submit(jobs.echo, 1)
        after = pool.submit(jobs.echo, 2)  # waits until there is room
        self.assertIsInstance(self.outcome(late), QueueTimeout)
        self.touch("go")
        self.assertEqual((self.outcome(running), self.outcome(after)), (None, 2))

    def test_ctrl_c_while_the_reader_starts(self):
        start = threading.Thread.start

        def interrupted_behind(thread):
            start(thread)
            wait_until(lambda: pool._client.reading, "the reader's start")
            raise KeyboardInterrupt

        def interrupted_before(thread):
            late.append(thread)
            raise KeyboardInterrupt

        late = []
        pool = self.pool(1)
        with mock.patch.object(threading.Thread, "start", interrupted_behind):
            self.assertRaises(KeyboardInterrupt, pool.submit, jobs.echo, 1)
        self.assertEqual(pool.submit(jobs.echo, 2).result(LONG_S), 2)
        pool = Executor(1)
        with mock.patch.object(threading.Thread, "start", interrupted_before):
            self.assertRaises(KeyboardInterrupt, pool.submit, jobs.echo, 1)
        with mock.patch.object(threading, "excepthook") as shown:
            start(late[0])
            late[0].join(LONG_S)
        shown.assert_not_called()
        self.assertRaises(AgentFailed, pool.submit, jobs.echo, 2)
        pool.shutdown()

    def test_an_agent_that_leaves_an_idle_loop(self):
        async def main():
            pool = AsyncPool(1)
            await pool.run(jobs.echo, 1)
            pool._agent.process.send_signal(signal.SIGTERM)
            while pool._broken is None:
                await asyncio.sleep(0.005)
            with self.assertRaises(AgentFailed):
                await pool.run(jobs.echo, 2)
            await pool.close()

        asyncio.run(asyncio.wait_for(main(), LONG_S))


if __name__ == "__main__":
    unittest.main()
