"""What can go wrong with a job, at every point of its way: the right future fails, the others end well, nothing hangs."""

import os
import threading
import unittest
from concurrent.futures.process import BrokenProcessPool, _RemoteTraceback
from pickle import PicklingError

import executor_jobs as jobs
from executor_case import LONG_S, ExecutorCase, alive, wait_until

from orchestrator import InitializerFailed, JobUnreadable, RemoteError, ResultUnreadable, WorkerDied

WAYS = ("os._exit", "C exit", "segfault", "raise")


def submit_to_die(pool, place, how):
    """Submits the job that dies in this place."""
    if place == "unpickling the job":
        return pool.submit(jobs.echo, jobs.AtUnpickle(how))
    if place == "running":
        return pool.submit(jobs.die, how)
    if place == "pickling the result":
        return pool.submit(jobs.make, jobs.AtPickle, how)
    if place == "pickling the job":
        return pool.submit(jobs.echo, jobs.AtPickle(how))
    assert place == "unpickling the result"
    return pool.submit(jobs.make, jobs.AtUnpickle, how)


class Matrix(ExecutorCase):
    """{ways to die} x {places} x {plain, submitted from a callback, several at once}."""

    def check(self, error, place, how):
        if how != "raise":
            self.assertIsInstance(error, WorkerDied)
            expected = {"os._exit": (3, None), "C exit": (4, None), "segfault": (None, 11)}[how]
            self.assertEqual((error.exit_code, error.signal), expected)
            self.assertEqual(error.attempts, 1)
        elif place == "unpickling the job":
            self.assertIsInstance(error, JobUnreadable)
            self.assertIn("ZeroDivisionError", str(error))
        elif place == "unpickling the result":
            self.assertIsInstance(error, ResultUnreadable)
            self.assertIsInstance(error.__cause__, ZeroDivisionError)
        else:
            self.assertIsInstance(error, ZeroDivisionError)
            self.assertIs(type(error.__cause__), _RemoteTraceback)
            self.assertIn("raise ZeroDivisionError", str(error.__cause__))

    def one_way(self, place, how):
        with self.subTest(place=place, how=how, submitted="plainly"):
            pool = self.pool(2)
            before = [pool.submit(jobs.add, n, 1) for n in range(20)]
            dying = submit_to_die(pool, place, how)
            after = [pool.submit(jobs.add, n, 2) for n in range(20)]
            self.check(self.outcome(dying), place, how)
            self.assertEqual([self.outcome(f) for f in before + after], [n + 1 for n in range(20)] + [n + 2 for n in range(20)])
            self.assertEqual(self.outcome(pool.submit(jobs.add, 4, 3)), 7)
            self.check_end(pool)
        with self.subTest(place=place, how=how, submitted="from a callback"):
            pool = self.pool(1)
            followed = threading.Event()
            dying, after = [], []

            def submit_more(_):
                dying.append(submit_to_die(pool, place, how))
                after.append(pool.submit(jobs.add, 1, 1))
                followed.set()

            first = pool.submit(jobs.echo, 1)
            first.add_done_callback(submit_more)
            self.assertTrue(followed.wait(LONG_S))
            self.check(self.outcome(dying[0]), place, how)
            self.assertEqual(self.outcome(after[0]), 2)
            self.check_end(pool)
        with self.subTest(place=place, how=how, submitted="several at once"):
            pool = self.pool(2)
            futures = [
                submit_to_die(pool, place, how) if n % 4 == 3 else pool.submit(jobs.add, n, 1) for n in range(16)
            ]
            for n, future in enumerate(futures):
                if n % 4 == 3:
                    self.check(self.outcome(future), place, how)
                else:
                    self.assertEqual(self.outcome(future), n + 1)
            self.assertEqual(len({id(self.outcome(f)) for f in futures[3::4]}), 4, "each has an error of its own")
            self.check_end(pool)


def _add_cells():
    places = [(place, how) for place in ("unpickling the job", "running", "pickling the result") for how in WAYS]
    for place, how in [*places, ("pickling the job", "raise"), ("unpickling the result", "raise")]:
        name = "test_%s_%s" % (place.replace(" ", "_"), how.replace(" ", "_").replace(".", ""))
        setattr(Matrix, name, lambda self, place=place, how=how: self.one_way(place, how))


_add_cells()


class Errors(ExecutorCase):
    def test_what_a_dead_worker_leaves_behind(self):
        pool = self.pool(1)
        error = self.outcome(pool.submit(jobs.with_stderr, "this is why"))
        self.assertIsInstance(error, WorkerDied)
        self.assertIsInstance(error, BrokenProcessPool)
        self.assertEqual((error.exit_code, error.signal, error.job), (5, None, 1))
        self.assertIn("this is why", error.stderr)
        self.assertIn("this is why", str(error))
        self.assertIn("with_stderr()", str(error))

    def test_exceptions_always_arrive(self):
        pool = self.pool(1)
        error = self.outcome(pool.submit(jobs.fail, "as usual"))
        self.assertEqual((type(error), error.args), (ValueError, ("as usual",)))
        self.assertIn("raise ValueError(text)", str(error.__cause__))
        error = self.outcome(pool.submit(jobs.raise_two_arguments))
        self.assertIsInstance(error, RemoteError)
        self.assertEqual((error.class_name, error.text), ("TwoArguments", "one and two"))
        self.assertIn("raise TwoArguments", str(error.__cause__))
        for kind in SystemExit, KeyboardInterrupt, GeneratorExit:
            error = self.outcome(pool.submit(jobs.leave, kind, 3))
            self.assertEqual((type(error), error.args), (kind, (3,)))
        error = self.outcome(pool.submit(jobs.return_unpicklable))
        self.assertIsInstance(error, (PicklingError, AttributeError, TypeError))
        self.assertEqual(self.outcome(pool.submit(jobs.add, 1, 1)), 2)

    def test_a_job_that_cannot_be_pickled(self):
        pool = self.pool(1)
        for thing in threading.Lock(), (n for n in ""):
            future = pool.submit(jobs.echo, thing)
            error = self.outcome(future)
            self.assertIsInstance(error, (TypeError, PicklingError))
            self.assertIs(type(error.__cause__), _RemoteTraceback)
        self.assertEqual(self.outcome(pool.submit(jobs.echo, 1)), 1)

    def test_break_is_the_rule_of_the_standard_library(self):
        pool = self.pool(2, on_crash="break")
        waiting = [pool.submit(jobs.wait_for_file, self.path("never")) for _ in range(2)]
        wait_until(lambda: len(self.lines("never.started")) == 2)
        later = [pool.submit(jobs.echo, n) for n in range(20)]
        for process in pool._processes.values():
            process.kill()
        futures = [*waiting, *later]
        errors = [self.outcome(future) for future in futures]
        for error in errors:
            self.assertIsInstance(error, BrokenProcessPool)
        self.assertEqual(len(set(map(id, errors))), len(errors))
        self.assertIn("terminated abruptly", str(self.outcome(later[-1])))
        with self.assertRaises(BrokenProcessPool):
            pool.submit(jobs.echo, 1)

    def test_a_killed_worker_fails_its_job_alone(self):
        pool = self.pool(2)
        futures = [pool.submit(jobs.start_and_sleep, self.path("pids")) for _ in range(1)]
        (pid,) = wait_until(lambda: self.lines("pids"))
        others = [pool.submit(jobs.echo, n) for n in range(50)]
        self.assertEqual([self.outcome(future) for future in others], list(range(50)))
        os.kill(int(pid), 9)
        error = self.outcome(futures[0])
        self.assertIsInstance(error, WorkerDied)
        self.assertEqual((error.signal, error.exit_code), (9, None))

    def test_the_end_of_the_agent_is_the_end_of_the_pool(self):
        pool = self.pool(2)
        future = pool.submit(jobs.start_and_sleep, self.path("pids"))
        (pid,) = wait_until(lambda: self.lines("pids"))
        pending = [pool.submit(jobs.start_and_sleep, self.path("pids")) for _ in range(10)]
        pool._client.agent.process.kill()
        for lost in [future, *pending]:
            self.assertIsInstance(self.outcome(lost), BrokenProcessPool)
        with self.assertRaises(BrokenProcessPool):
            pool.submit(jobs.echo, 1)
        wait_until(lambda: not alive(int(pid)))

    def test_an_initializer_that_ends_the_process(self):
        pool = self.pool(1, initializer=jobs.die, initargs=("os._exit",))
        error = self.outcome(pool.submit(jobs.echo, 1))
        self.assertIsInstance(error, InitializerFailed)
        self.assertIn("most likely because its initializer failed", str(error))

    def test_a_failing_initializer_breaks_the_pool(self):
        # In a program of its own: the worker's complaint is written to standard error.
        done = self.run_script(
            """
import executor_jobs as jobs
from orchestrator import Executor, InitializerFailed
if __name__ == "__main__":
    with Executor(2, initializer=jobs.raise_in_initializer) as pool:
        futures = [pool.submit(jobs.echo, n) for n in range(5)]
        for future in futures:
            error = future.exception(50)
            assert type(error) is InitializerFailed, error
            assert str(error) == "the initializer raised RuntimeError: the initializer does not want to", error
            assert "in raise_in_initializer" in str(error.__cause__), error.__cause__
        try:
            pool.submit(jobs.echo, 1)
        except InitializerFailed:
            print("refused")
""",
            check=False,
        )
        self.assertEqual((done.returncode, done.stdout), (0, "refused\n"), done.stderr)
        self.assertEqual(done.stderr.count("RuntimeError: the initializer does not want to"), 1, done.stderr)


if __name__ == "__main__":
    unittest.main()
