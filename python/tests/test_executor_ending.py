"""How pools end: by shutdown, by being dropped, with the program, by signals, and in a fork."""

import concurrent.futures
import gc
import itertools
import linecache
import os
import signal
import subprocess
import sys
import threading
import time
import unittest
from concurrent.futures.process import BrokenProcessPool

import executor_jobs as jobs
from executor_case import HERE, LONG_S, PACKAGE, ExecutorCase, alive, wait_until

from orchestrator import Executor, _backlog, _client, _connection, _executor, _map, _sending

PROLOGUE = "import sys\nsys.path[:0] = %r\nimport executor_jobs as jobs\nfrom orchestrator import Executor\n" % (
    [PACKAGE, HERE],
)


class Descriptors(ExecutorCase):
    TEXT = """
import os
import executor_jobs as jobs
from orchestrator import Executor

if __name__ == "__main__":
    closed, when, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    if when == "before":
        file = os.open(path, os.O_CREAT | os.O_RDWR)
        assert file == closed
    with Executor(1) as pool:
        if when != "before":
            pool.submit(jobs.echo, 5).result()
        if when == "after":
            os.close(closed)
            assert os.open(path, os.O_CREAT | os.O_RDWR) == closed
        pool.submit(jobs.write_to_descriptor, closed, b"printed").exception()
        assert pool.submit(jobs.echo, 5).result() == 5
    open(path + ".ended", "w").close()
"""

    def test_what_jobs_print_never_goes_to_what_has_taken_a_closed_descriptor(self):
        with open(self.path("script.py"), "w") as file:
            file.write("import sys\nsys.path[:0] = %r\n" % ([PACKAGE, HERE],) + self.TEXT)
        for closed in (1, 2):
            for when in ("before", "never", "after"):
                with self.subTest(closed=closed, when=when):
                    path = self.path(str(closed) + when)
                    close = "" if when == "after" else "%d>&-" % closed
                    command = ["sh", "-c", 'exec "$@" ' + close, "sh", sys.executable, self.path("script.py")]
                    subprocess.run(command + [str(closed), when, path], check=False, capture_output=True, timeout=LONG_S)
                    self.assertTrue(os.path.exists(path + ".ended"))
                    if when != "never":
                        self.assertEqual(os.path.getsize(path), 0)


class Shutdown(ExecutorCase):
    def test_it_waits_for_jobs_and_processes(self):
        pool = self.pool(2)
        futures = [pool.submit(jobs.append, self.path("lines"), str(n)) for n in range(50)]
        pids = list(pool._processes)
        pool.shutdown()
        self.assertTrue(all(future.done() for future in futures))
        self.assertEqual(len(self.lines("lines")), 50)
        self.assertFalse(any(map(alive, pids)))
        pool.shutdown()
        with self.assertRaisesRegex(RuntimeError, "cannot schedule new futures after shutdown"):
            pool.submit(jobs.echo, 1)

    def test_without_waiting(self):
        pool = self.pool(1)
        futures = [pool.submit(jobs.wait_for_file, self.path("go"), n) for n in range(5)]
        pool.shutdown(wait=False)
        self.assertFalse(any(future.done() for future in futures))
        self.touch("go")
        self.assertEqual([future.result(LONG_S) for future in futures], list(range(5)))

    def test_cancel_futures(self):
        pool = self.pool(2)
        futures = [pool.submit(jobs.wait_for_file, self.path("go"), n) for n in range(20)]
        pool.shutdown(wait=False, cancel_futures=True)
        self.touch("go")
        self.assertEqual([future.cancelled() for future in futures], [False] * 3 + [True] * 17)
        self.assertEqual([future.result(LONG_S) for future in futures[:3]], [0, 1, 2])
        done, _ = concurrent.futures.wait(futures, LONG_S)
        self.assertEqual(len(done), 20)

    def test_in_a_callback(self):
        pool = self.pool(1)
        pool.submit(jobs.echo, 1).add_done_callback(lambda _: pool.shutdown())
        wait_until(lambda: not pool._client.thread.is_alive())

    def test_terminate_workers(self):
        Executor(1).terminate_workers()  # unused: nothing to do
        for name in "terminate_workers", "kill_workers":
            pool = self.pool(1)
            running = pool.submit(jobs.start_and_sleep, self.path(name))
            pending = [pool.submit(jobs.echo, n) for n in range(5)]
            (pid,) = wait_until(lambda: self.lines(name))
            getattr(pool, name)()
            self.assertIsInstance(self.outcome(running), BrokenProcessPool)
            self.assertTrue(all(future.cancelled() for future in pending[1:]))
            with self.assertRaises(RuntimeError):
                pool.submit(jobs.echo, 1)
            wait_until(lambda: not alive(int(pid)))

    def test_a_dropped_pool_finishes(self):
        pool = Executor(2)
        client = pool._client
        futures = [pool.submit(jobs.append, self.path("lines"), str(n)) for n in range(100)]
        pids = list(pool._processes)
        del pool
        gc.collect()
        self.assertEqual([future.result(LONG_S) for future in futures], [str(n) for n in range(100)])
        client.thread.join(LONG_S)
        self.assertFalse(client.thread.is_alive())
        self.assertFalse(any(map(alive, pids)))

    def test_an_idle_pool_is_dropped(self):
        pool = Executor(1)
        self.assertEqual(pool.submit(jobs.echo, 1).result(LONG_S), 1)
        thread = pool._client.thread
        del pool
        gc.collect()
        thread.join(LONG_S)
        self.assertFalse(thread.is_alive())

    def test_a_view_keeps_the_pool(self):
        view = Executor(1).options(retries=1)
        gc.collect()
        self.assertEqual(view.submit(jobs.echo, 1).result(LONG_S), 1)
        view.shutdown()
        self.assertEqual(view.submit(jobs.echo, 2).result(LONG_S), 2)


class Programs(ExecutorCase):
    """Each in a process of its own."""

    def start(self, text, pids="pids", **kwargs):
        path = self.path("program.py")
        with open(path, "w") as file:
            file.write(PROLOGUE + text)
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore::DeprecationWarning", path, self.path(pids)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs
        )
        self.addCleanup(lambda: (process.kill(), process.communicate()))
        return process

    def busy(self, count, pids="pids"):
        return [int(pid) for pid in wait_until(lambda: len(self.lines(pids)) >= count and self.lines(pids))]

    def finish(self, process):
        out, err = process.communicate(timeout=LONG_S)
        return process.returncode, out, err

    def test_the_end_of_the_program_waits_for_jobs(self):
        process = self.start(
            """
import time
def later():
    time.sleep(0.2)
    print("apple", flush=True)
if __name__ == "__main__":
    pool = Executor(2)
    pool.submit(later)
    results = pool.map(jobs.append, [sys.argv[1]] * 200, ["x"] * 200)
"""
        )
        self.assertEqual(self.finish(process), (0, "apple\n", ""))
        self.assertEqual(len(self.lines("pids")), 200)

    def test_no_job_after_the_end(self):
        process = self.start(
            """
import atexit
if __name__ == "__main__":
    pool = Executor(1)
    @atexit.register
    def late():
        try:
            pool.submit(id, None)
        except RuntimeError as error:
            print(error)
    print(pool.submit(abs, -1).result())
"""
        )
        self.assertEqual(
            self.finish(process), (0, "1\ncannot schedule new futures after interpreter shutdown\n", "")
        )

    def test_nothing_is_left_of_a_killed_program(self):
        for busy in True, False:
            with self.subTest(busy=busy):
                process = self.start(
                    """
import os, time
if __name__ == "__main__":
    pool = Executor(2)
    if %r:
        futures = [pool.submit(jobs.start_and_sleep, sys.argv[1]) for _ in range(2)]
    else:
        for pid in {pool.submit(jobs.pid).result() for _ in range(10)}:
            jobs.append(sys.argv[1], str(pid))
    jobs.append(sys.argv[1], str(pool._client.agent.process.pid))
    time.sleep(600)
"""
                    % busy
                )
                pids = self.busy(3 if busy else 2)
                self.assertTrue(all(map(alive, pids)))
                process.kill()
                killed = time.monotonic()
                wait_until(lambda: not any(map(alive, pids)))
                self.assertLess(time.monotonic() - killed, 10)  # a second, on a machine with nothing else to do; with all graces it were 12
                os.remove(self.path("pids"))

    def test_ctrl_c(self):
        programs = {
            "with": """
    with Executor(2) as pool:
        futures = [pool.submit(jobs.start_and_sleep, sys.argv[1]) for _ in range(6)]
        futures[0].result()
""",
            "without": """
    pool = Executor(2)
    futures = [pool.submit(jobs.start_and_sleep, sys.argv[1]) for _ in range(6)]
    futures[0].result()
""",
            "asyncio": """
    import asyncio
    async def main():
        with Executor(2) as pool:
            loop = asyncio.get_running_loop()
            tasks = [loop.run_in_executor(pool, jobs.start_and_sleep, sys.argv[1]) for _ in range(6)]
            await asyncio.wait(tasks)
    asyncio.run(main())
""",
            "map": """
    with Executor(2) as pool:
        list(pool.map(jobs.start_and_sleep, [sys.argv[1]] * 6))
""",
            "shutdown": """
    pool = Executor(2)
    futures = [pool.submit(jobs.start_and_sleep, sys.argv[1]) for _ in range(6)]
    pool.shutdown()
""",
        }
        for name, text in programs.items():
            with self.subTest(name):
                # In a session of its own, as at a terminal: the signal goes to all of its group.
                process = self.start('if __name__ == "__main__":' + text, name, start_new_session=True)
                pids = self.busy(2, name)
                os.killpg(process.pid, signal.SIGINT)
                status, out, err = self.finish(process)
                self.assertEqual((status, out), (-signal.SIGINT, ""), err)
                self.assertEqual(err.count("\nKeyboardInterrupt"), 1, err)
                self.assertNotIn("never retrieved", err)
                wait_until(lambda: not any(map(alive, pids)))
                self.assertEqual(len(self.lines(name)), 2)

    def test_a_fork_is_safe(self):
        process = self.start(
            """
import os, multiprocessing
def in_child():
    pool.shutdown()
    try:
        pool.submit(abs, -1)
    except RuntimeError as error:
        print(error, flush=True)
    with Executor(1) as other:
        print(other.submit(abs, -2).result(), flush=True)
if __name__ == "__main__":
    with Executor(2) as pool:
        futures = [pool.submit(jobs.echo, n) for n in range(100)]
        child = os.fork()
        if child == 0:
            in_child()
            sys.exit()
        assert os.waitpid(child, 0)[1] == 0
        print([future.result() for future in futures] == list(range(100)), flush=True)
        child = multiprocessing.get_context("fork").Process(target=in_child)
        child.start()
        child.join()
        print(pool.submit(abs, -3).result())
"""
        )
        refused = "the pool belongs to another process: one that was forked cannot use it\n"
        self.assertEqual(self.finish(process), (0, f"{refused}2\nTrue\n{refused}2\n3\n", ""))

    def test_a_fork_while_another_thread_starts_the_pool(self):
        process = self.start(
            """
import os, threading, time
from orchestrator import _start
if __name__ == "__main__":
    prepare, go, there = _start._prepare_connection, threading.Event(), threading.Event()
    def slowly(client):
        if threading.current_thread() is not threading.main_thread():
            there.set()
            go.wait()
        prepare(client)
    _start._prepare_connection = slowly
    pool = Executor(1)
    thread = threading.Thread(target=lambda: print(pool.submit(abs, -1).result(), flush=True))
    thread.start()
    there.wait()
    link = _start._under_way.link.fileno()
    child = os.fork()
    if child == 0:
        try:
            os.fstat(link)
        except OSError:
            print("closed", flush=True)
        with pool:
            print(pool.submit(abs, -2).result(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    go.set()
    thread.join()
    pool.shutdown()
"""
        )
        self.assertEqual(self.finish(process), (0, "closed\n2\n1\n", ""))

    def test_a_fork_does_not_keep_workers_alive(self):
        process = self.start(
            """
import os, time
if __name__ == "__main__":
    pool = Executor(1)
    future = pool.submit(jobs.start_and_sleep, sys.argv[1])
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
    child = os.fork()
    if child == 0:
        print(os.getpid(), flush=True)
        time.sleep(600)
    time.sleep(600)
"""
        )
        pids = self.busy(1)
        child = int(process.stdout.readline())
        self.addCleanup(os.kill, child, signal.SIGKILL)
        process.kill()
        wait_until(lambda: not any(map(alive, pids)))
        self.assertTrue(alive(child))


class Interrupts(ExecutorCase):
    """Ctrl-C at a prompt, which leaves a pool that is used further. It is made to come before each line in turn."""

    def interrupted(self, number, call):
        """Calls, with Ctrl-C before the line of that number. False: there are not so many."""
        left = number
        places = [module.__file__ for module in (_backlog, _client, _connection, _executor, _map, _sending)]

        def trace(frame, event, _):
            nonlocal left
            if frame.f_code.co_filename not in places:
                return None
            # Not where the tracer, but no signal, would keep a `with` block from releasing its lock.
            line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
            if event == "line" and not line.startswith(("with ", "try:")):
                left -= 1
                if left == 0:
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            call()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        return left <= 0

    def test_in_submit_with_idle_workers(self):
        pool = self.pool(2)
        self.assertEqual(pool.submit(jobs.echo, 0).result(LONG_S), 0)
        number = 1
        while self.interrupted(number, lambda: pool.submit(jobs.echo, 1)):
            self.assertEqual(pool.submit(jobs.echo, number).result(LONG_S), number)
            number += 1
        self.assertGreater(number, 20)
        wait_until(lambda: pool.stats().running == pool.stats().pending == 0)

    def test_in_submit_behind_others(self):
        pool = self.pool(1)
        self.assertEqual(pool.submit(jobs.echo, 0).result(LONG_S), 0)
        number, more = 1, True
        while more:
            futures = [pool.submit(time.sleep, 0.01) for _ in range(5)]
            more = self.interrupted(number, lambda: pool.submit(jobs.echo, 1))
            futures.append(pool.submit(jobs.echo, None))
            self.assertEqual([future.result(LONG_S) for future in futures], [None] * 6)
            wait_until(lambda: pool.stats().submitted == pool.stats().done)
            number += 1
        self.assertGreater(number, 15)

    def test_in_handing_over_what_has_waited(self):
        number, more = 1, True
        while more:
            pool = self.pool(1)
            self.assertEqual(pool.submit(jobs.echo, 0).result(LONG_S), 0)
            futures = [pool.submit(jobs.wait_for_file, self.path("go"))]
            futures += [pool.submit(jobs.echo, None) for _ in range(3)]
            more = self.interrupted(number, lambda: pool.resize(3))
            self.touch("go")
            futures.append(pool.submit(jobs.echo, None))
            self.assertEqual([future.result(LONG_S) for future in futures], [None] * 5)
            pool.shutdown()
            os.remove(self.path("go"))
            number += 1
        self.assertGreater(number, 10)

    def test_in_map(self):
        pool = self.pool(1)
        self.assertEqual(list(pool.map(abs, range(3))), [0, 1, 2])
        number, more = 1, True
        while more:
            # One in use: what is left of it when it is dropped is not read.
            more = self.interrupted(number, lambda: next(pool.map(abs, itertools.count())))
            wait_until(lambda: not pool._client.maps)
            self.assertEqual(pool.submit(jobs.echo, number).result(LONG_S), number)
            number += 7
        self.assertGreater(number, 100)

    def test_in_looking_at_a_future(self):
        """It comes when a lock has been taken, and the `with` statement has not begun yet."""

        def trace(frame, event, _):
            code = frame.f_code
            if event == "return" and code.co_name == "__enter__" and code.co_filename == threading.__file__:
                raise KeyboardInterrupt
            return trace

        pool = self.pool(1)
        futures = [pool.submit(jobs.wait_for_file, self.path("go")), pool.submit(jobs.echo, 1)]
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            futures[0].done()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        self.touch("go")
        wait_until(futures[1].done)
        self.assertEqual([future.result(0) for future in futures], [None, 1])

    def test_in_waiting_for_a_future(self):
        """At any step, it is that and nothing else which comes out."""
        pool = self.pool(1)
        future = pool.submit(jobs.wait_for_file, self.path("go"))
        for at in itertools.count():
            left = at

            def trace(frame, event, _):
                nonlocal left
                if frame.f_code.co_name != "wait" or frame.f_code.co_filename != threading.__file__:
                    return trace if frame.f_code.co_name == "result" else None
                if event == "line":
                    left -= 1
                    if left < 0:
                        sys.settrace(None)
                        raise KeyboardInterrupt
                return trace

            sys.settrace(trace)
            try:
                future.result(0.01)
            except KeyboardInterrupt:
                continue
            except concurrent.futures.TimeoutError:
                break
            finally:
                sys.settrace(None)
        self.assertGreater(at, 5)
        self.touch("go")
        wait_until(future.done)
        self.assertEqual(pool.submit(jobs.echo, 1).result(LONG_S), 1)

    def test_in_submit_when_there_is_just_room(self):
        """When it looked first there was none: the job takes the way of those that wait."""
        pool = self.pool(1)
        self.assertEqual(pool.submit(jobs.echo, 0).result(LONG_S), 0)
        client, number, more = pool._client, 1, True
        usual = client.window
        while more:
            client.window = Opening(usual)
            more = self.interrupted(number, lambda: pool.submit(jobs.echo, 1))
            client.window = usual
            self.assertEqual(pool.submit(jobs.echo, number).result(LONG_S), number)
            wait_until(lambda: pool.stats().running == pool.stats().pending == 0)
            number += 1
        self.assertGreater(number, 20)


class Opening:
    """A window that is closed when it is looked at first."""

    def __init__(self, window):
        self._window = window
        self._sizes = [0]

    @property
    def size(self):
        return self._sizes.pop() if self._sizes else self._window.size

    def __getattr__(self, name):
        return getattr(self._window, name)


class Threads(ExecutorCase):
    def test_blocked_submitters_are_told_of_the_end(self):
        pool = self.pool(1, max_pending=2)
        futures = [pool.submit(jobs.wait_for_file, self.path("never")) for _ in range(2)]
        errors = []

        def submit():
            try:
                pool.submit(jobs.echo, 1)
            except RuntimeError as error:
                errors.append(error)

        thread = threading.Thread(target=submit)
        thread.start()
        wait_until(lambda: self.lines("never.started"))
        pool.terminate_workers()
        thread.join(LONG_S)
        self.assertEqual(len(errors), 1)
        self.assertIsInstance(self.outcome(futures[0]), BrokenProcessPool)


if __name__ == "__main__":
    unittest.main()
