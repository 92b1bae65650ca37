"""What goes beyond the standard library: limits, retries, priorities, cancelling, numbers."""

import os
import threading
import time
import unittest
import unittest.mock
from concurrent.futures import CancelledError, wait
from concurrent.futures.process import BrokenProcessPool

import executor_jobs as jobs
from executor_case import LONG_S, ExecutorCase, alive, wait_until

from orchestrator import JobTimeout, QueueTimeout, WorkerDied
from orchestrator._options import JobOptions, parse_size


class LateLink:
    """Is closed between two looks at it."""

    looks = 0

    def fileno(self):
        self.looks += 1
        return 5 if self.looks == 1 else -1


class Options(ExecutorCase):
    def warm(self, pool, workers):
        """Its workers have started and imported what jobs need, which is no part of the next ones' time."""
        first = [pool.submit(jobs.wait_for_file, self.path("warm")) for _ in range(workers)]
        wait_until(lambda: len(self.lines("warm.started")) == workers, "the start")
        self.touch("warm")
        wait(first, LONG_S)

    def test_timeout(self):
        pool = self.pool(2, timeout=LONG_S)
        self.warm(pool, 2)
        slow = pool.options(timeout=0.6).submit(jobs.start_and_resist, self.path("pid"))  # time enough to leave its number
        others = [pool.submit(jobs.echo, n) for n in range(10)]
        error = self.outcome(slow)
        self.assertIsInstance(error, JobTimeout)
        self.assertIsInstance(error, TimeoutError)
        self.assertIsInstance(error, BrokenProcessPool)
        self.assertNotIsInstance(error, WorkerDied)
        self.assertEqual([self.outcome(other) for other in others], list(range(10)))
        wait_until(lambda: not alive(int(self.lines("pid")[0])), "the worker's end")

    def test_the_worker_stays_or_is_replaced_behind_a_job_that_ends_when_its_time_is_over(self):
        pool = self.pool(1)
        self.warm(pool, 1)
        slow = pool.options(timeout=0.6).submit(jobs.start_and_sleep, self.path("pid"))
        self.assertIsInstance(self.outcome(slow), JobTimeout)
        self.assertEqual(self.outcome(pool.submit(jobs.echo, "next")), "next")
        self.assertEqual(len(self.lines("pid")), 1)

    def test_cancelled_and_late_at_the_same_time(self):
        pool = self.pool(1)
        blocking = pool.submit(jobs.wait_for_file, self.path("go"))
        wait_until(lambda: pool._client.ready, "the start")
        client, ahead = pool._client, pool.submit(jobs.echo, 1)
        # One that was sent ahead, and so can be taken back.
        work = wait_until(lambda: next((work for work in list(client.flight.values()) if work.future is ahead), None), "the job")
        with client.lock:  # both before an answer to either
            client.connection.recall([work.job])
            client.cancelled.add(work.job)
            client.connection.cancel(work.job)
            client.write()
        self.assertIsInstance(wait_until(lambda: ahead.done() and self.cancelled(ahead)), CancelledError)
        self.touch("go")
        self.assertIsNone(self.outcome(blocking))
        self.assertEqual((client.cancelled, pool.stats().cancelled, pool.stats().crashed), (set(), 1, 0))
        self.assertEqual(self.outcome(pool.submit(jobs.echo, 3)), 3)

    @staticmethod
    def cancelled(future):
        try:
            return future.exception(0)
        except CancelledError as error:
            return error

    def test_writing_to_a_link_that_was_just_closed(self):
        pool = self.pool(1)
        self.outcome(pool.submit(jobs.echo, 1))
        client = pool._client
        pool.shutdown()
        client.ended = False  # as it is seen by a thread that is just a bit late
        client.connection.outgoing.append(b"late")
        with unittest.mock.patch.object(client.agent, "link", LateLink()):
            client.push()
        client.ended = True

    def test_retries(self):
        pool = self.pool(1)
        view = pool.options(retries=2)
        self.assertEqual(self.outcome(view.submit(jobs.crash_unless, self.path("tried"))), "second")
        error = self.outcome(view.submit(jobs.die, "os._exit"))
        self.assertIsInstance(error, WorkerDied)
        self.assertEqual(error.attempts, 3)
        # What the function raises is its result: it is not tried again.
        self.assertIsInstance(self.outcome(view.submit(jobs.fail)), ValueError)

    def test_memory(self):
        pool = self.pool(1)
        error = self.outcome(pool.options(memory="200M").submit(jobs.use_memory, 400, self.path("never")))
        self.assertIsInstance(error, WorkerDied)
        self.assertIn("memory", error.reason)
        self.touch("go")
        self.assertEqual(self.outcome(pool.options(memory="2G").submit(jobs.use_memory, 10, self.path("go"))), 10 << 20)

    def test_priority(self):
        pool = self.pool(1)
        blocking = [pool.submit(jobs.wait_for_file, self.path("go")) for _ in range(2)]
        order = [(0, "usual"), (-5, "later"), (7, "first"), (7, "second"), (0, "usual"), (3, "third")]
        futures = [
            pool.options(priority=priority).submit(jobs.append, self.path("order"), name) for priority, name in order
        ]
        self.touch("go")
        wait(blocking + futures, LONG_S)
        self.assertEqual(self.lines("order"), ["first", "second", "third", "usual", "usual", "later"])

    def test_priority_behind_many_tiny_jobs(self):
        """What is sent ahead because the jobs before were tiny does not stay before what is more urgent."""
        pool = self.pool(1)

        def order(name, pause):
            wait([pool.submit(jobs.echo, n) for n in range(500)], LONG_S)
            blocking = pool.submit(jobs.wait_for_file, self.path(name + "go"))
            lows = [pool.submit(jobs.append, self.path(name), str(n)) for n in range(9)]
            high = pool.options(priority=5).submit(jobs.append, self.path(name), "high")
            wait_until(lambda: self.lines(name + "go.started"))
            time.sleep(pause)
            self.touch(name + "go")
            wait([blocking, high, *lows], LONG_S)
            return self.lines(name)

        # How soon they are back, a busy machine decides.
        orders = (order("try%d" % n, 0.05 * 2**n) for n in range(8))
        self.assertIn(["high", *map(str, range(9))], orders)

    def test_queue_timeout_of_waiting_and_of_sent_jobs(self):
        pool = self.pool(1)
        blocking = pool.submit(jobs.wait_for_file, self.path("go"))
        wait_until(lambda: self.lines("go.started"))
        view = pool.options(queue_timeout=1)  # what is said of its jobs below is said sooner
        sent = view.submit(jobs.append, self.path("ran"), "sent")
        self.assertTrue(sent.running())
        waiting = [view.submit(jobs.append, self.path("ran"), "waiting") for _ in range(3)]
        self.assertFalse(waiting[0].running())
        usual = pool.submit(jobs.append, self.path("ran"), "usual")
        for future in sent, *waiting:
            error = self.outcome(future)
            self.assertIsInstance(error, QueueTimeout)
            self.assertIsInstance(error, TimeoutError)
        self.touch("go")
        self.assertEqual(self.outcome(usual), "usual")
        self.assertEqual(self.lines("ran"), ["usual"])
        self.assertIsNone(self.outcome(blocking))
        self.assertEqual(pool.options(queue_timeout=LONG_S).submit(jobs.echo, 1).result(LONG_S), 1)

    def test_queue_timeout_does_not_end_what_runs(self):
        pool = self.pool(1)
        self.assertEqual(pool.submit(jobs.echo, 1).result(LONG_S), 1)  # the start of the pool counts, too
        future = pool.options(queue_timeout=1).submit(time.sleep, 1.5)
        self.assertIsNone(future.result(LONG_S))

    def test_views_change_what_they_say_and_nothing_else(self):
        pool = self.pool(1, timeout=LONG_S, retries=1)
        view = pool.options(priority=3).options(retries=0)
        options = view._options
        self.assertEqual((options.timeout, options.retries, options.priority), (LONG_S, 0, 3))
        self.assertEqual(pool._options.priority, 0)
        with self.assertRaisesRegex(TypeError, "unexpected keyword argument 'colour'"):
            pool.options(colour="red")
        self.assertEqual(list(view.map(jobs.echo, range(100))), list(range(100)))

    def test_sizes(self):
        for text, size in ("1", 1), ("2k", 2048), (" 3M ", 3 << 20), ("1G", 1 << 30), (77, 77):
            self.assertEqual(parse_size(text), size)
        self.assertIsNone(JobOptions().wire)
        self.assertIsNone(JobOptions(queue_timeout=5).wire)
        self.assertIsNotNone(JobOptions(timeout=5).wire)


class Cancelling(ExecutorCase):
    def test_a_running_job(self):
        pool = self.pool(1)
        running = pool.submit(jobs.start_and_sleep, self.path("pid"))
        wait_until(lambda: self.lines("pid"))
        called = []
        running.add_done_callback(called.append)
        self.assertTrue(pool.cancel(running))
        with self.assertRaises(CancelledError):
            running.result(LONG_S)
        self.assertTrue(running.cancelled())
        self.assertEqual(wait_until(lambda: called), [running])
        self.assertFalse(pool.cancel(running) and not running.cancelled())
        self.assertEqual(pool.submit(jobs.echo, 1).result(LONG_S), 1, "its worker is free")
        self.assertEqual(pool.stats().cancelled, 1)

    def test_waiting_ones_and_those_that_are_over(self):
        pool = self.pool(1)
        futures = [pool.submit(jobs.wait_for_file, self.path("go"), n) for n in range(5)]
        self.assertTrue(pool.cancel(futures[4]))
        self.assertTrue(futures[4].cancelled())
        self.assertTrue(pool.cancel(futures[1]))  # sent ahead or still here: it does not run
        self.touch("go")
        self.assertEqual([futures[n].result(LONG_S) for n in (0, 2, 3)], [0, 2, 3])
        with self.assertRaises(CancelledError):
            futures[1].result(LONG_S)
        self.assertFalse(pool.cancel(futures[0]))
        self.assertEqual(len(self.lines("go.started")), 3)


class Bounds(ExecutorCase):
    def test_max_pending_blocks_submit(self):
        pool = self.pool(2, max_pending=5)
        most = []

        def submit_all():
            for n in range(200):
                pool.submit(jobs.echo, n)
                stats = pool.stats()
                most.append(stats.pending + stats.running)

        thread = threading.Thread(target=submit_all)
        thread.start()
        thread.join(LONG_S)
        self.assertFalse(thread.is_alive())
        self.assertLessEqual(max(most), 5)
        pool.shutdown()
        self.assertEqual(pool.stats().done, 200)

    def test_resize(self):
        pool = self.pool(1)
        self.assertEqual(pool.submit(jobs.echo, 1).result(LONG_S), 1)
        pool.resize(3)
        futures = [pool.submit(jobs.wait_for_file, self.path("go")) for _ in range(3)]
        wait_until(lambda: len(self.lines("go.started")) == 3)
        self.touch("go")
        wait(futures, LONG_S)
        self.assertEqual(pool.stats().workers, 3)
        pool.resize(1)
        self.assertEqual(pool.submit(jobs.echo, 2).result(LONG_S), 2)
        wait_until(lambda: len(pool._processes) == 1)
        for wrong in 0, -1:
            with self.assertRaises(ValueError):
                pool.resize(wrong)

    def test_resize_before_the_first_job(self):
        pool = self.pool(1)
        pool.resize(2)
        futures = [pool.submit(jobs.wait_for_file, self.path("go")) for _ in range(2)]
        wait_until(lambda: len(self.lines("go.started")) == 2)
        self.touch("go")
        wait(futures, LONG_S)

    def test_idle_workers_end(self):
        pool = self.pool(3, min_workers=1, idle_after=0.2)
        futures = [pool.submit(jobs.wait_for_file, self.path("go")) for _ in range(3)]
        wait_until(lambda: len(self.lines("go.started")) == 3)
        self.touch("go")
        wait(futures, LONG_S)
        wait_until(lambda: len(pool._processes) == 1)
        self.assertEqual(pool.submit(jobs.echo, 1).result(LONG_S), 1)

    def test_stats(self):
        pool = self.pool(1)
        self.assertEqual(tuple(pool.stats()), (1, 0, 0, 0, 0, 0, 0, 0))
        futures = [pool.submit(jobs.wait_for_file, self.path("go")) for _ in range(5)]
        stats = pool.stats()
        self.assertEqual((stats.submitted, stats.pending, stats.running), (5, 3, 2))
        futures[-1].cancel()
        self.touch("go")
        wait(futures, LONG_S)
        pool.submit(jobs.fail).exception(LONG_S)
        pool.submit(jobs.die, "os._exit").exception(LONG_S)
        stats = wait_until(lambda: pool.stats().running == 0 and pool.stats())
        self.assertEqual((stats.submitted, stats.done, stats.failed, stats.crashed, stats.cancelled), (7, 4, 1, 1, 1))


if __name__ == "__main__":
    unittest.main()
