"""`map`: order, chunks, how far it reads ahead, and what becomes of what has not been read."""

import concurrent.futures
import gc
import itertools
import os
import resource
import threading
import time
import unittest
import weakref
from concurrent.futures.process import BrokenProcessPool

import executor_jobs as jobs
from executor_case import LONG_S, ExecutorCase, wait_until

from orchestrator import Executor, WorkerDied


class Inputs:
    """An endless or limited iterator without a length, which counts how much of it has been read."""

    def __init__(self, limit=None, make=lambda n: n):
        self.limit, self.make, self.read = limit, make, 0
        self.threads = set()

    def __iter__(self):
        return self

    def __next__(self):
        self.threads.add(threading.current_thread())
        if self.read == self.limit:
            raise StopIteration
        self.read += 1
        return self.make(self.read - 1)


class Counting(Executor):
    """What programs make of executors: one that looks at all that is submitted, and changes it."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seen = []

    def submit(self, fn, /, *args, **kwargs):
        self.seen.append(args)
        return super().submit(jobs.twice, fn, *args, **kwargs)


class Overridden(ExecutorCase):
    """A subclass that overrides `submit` sees the jobs of `map`, as with all executors of the standard library."""

    def test_it_sees_them(self):
        with Counting(2) as pool:
            results = pool.map(pow, range(40), [2] * 50, chunksize=5)
            self.assertEqual(pool.seen, [(n, 2) for n in range(40)])
        self.assertEqual(list(results), [2 * n * n for n in range(40)])
        with self.assertRaisesRegex(RuntimeError, "after shutdown"):
            pool.map(abs, [1])

    def test_one_that_was_changed_for_one_pool(self):
        pool, seen = self.pool(1), []
        submit = pool.submit
        pool.submit = lambda fn, *args: seen.append(args) or submit(fn, *args)
        first = itertools.count()
        self.assertEqual(list(pool.map(pow, first, [1, 1])), [0, 1])
        self.assertEqual((seen, next(first)), ([(0, 1), (1, 1)], 3))

    def test_errors_and_time(self):
        with Counting(2) as pool:
            results = pool.map(jobs.fail_at_3, range(6))
            self.assertEqual([next(results) for _ in range(3)], [0, 2, 4])
            with self.assertRaisesRegex(ValueError, "three"):
                next(results)
            with self.assertRaises(concurrent.futures.TimeoutError):
                list(pool.map(time.sleep, [LONG_S], timeout=0))
            pool.terminate_workers()

    def test_buffersize(self):
        with Counting(1) as pool:
            inputs = Inputs()
            results = pool.map(abs, inputs, buffersize=3)
            self.assertEqual(inputs.read, 3)
            self.assertEqual([next(results) for _ in range(10)], [2 * n for n in range(10)])
            self.assertEqual(inputs.read, 13)
            results.close()


class Mapping(ExecutorCase):
    def test_results_in_order(self):
        pool = self.pool(2)
        self.assertEqual(list(pool.map(jobs.echo, [])), [])
        self.assertEqual(list(pool.map(jobs.echo)), [])
        for count in 1, 2, 33, 1000, 50_000:
            self.assertEqual(list(pool.map(jobs.echo, range(count))), list(range(count)))
        for size in 1, 7, 1000:
            self.assertEqual(list(pool.map(jobs.echo, range(500), chunksize=size)), list(range(500)))
        self.assertEqual(list(pool.map(jobs.add, range(5), [10, 20, 30])), [10, 21, 32])
        self.assertEqual(list(pool.map(jobs.count_arguments, range(3), range(3), range(3))), [3, 3, 3])

    def test_nothing_of_a_pool_that_has_ended(self):
        used, broken = self.pool(1), self.pool(1, on_crash="break")
        self.outcome(used.submit(abs, 1))
        self.outcome(broken.submit(os._exit, 1))
        for pool in self.pool(1), used:
            pool.shutdown()
        for pool, kind in (pool, RuntimeError), (used, RuntimeError), (broken, BrokenProcessPool):
            for results in pool.map(abs, []), pool.map(pow, [], [1]), pool.map(abs), pool.options(retries=1).map(abs, ()):
                self.assertEqual(list(results), [])
                results.close()
            for items in [1], itertools.count():
                with self.assertRaises(kind):
                    pool.map(abs, items)

    def test_ctrl_c_while_inputs_are_read_waits_for_no_result(self):
        def inputs():
            yield LONG_S
            raise KeyboardInterrupt

        pool = self.pool(1)
        results = pool.map(time.sleep, inputs(), buffersize=1)
        with self.assertRaises(KeyboardInterrupt):
            next(results)
        self.assertEqual(list(results), [])
        pool.terminate_workers()

    def test_arguments_are_checked(self):
        pool = self.pool(1)
        for size in 0, -1:
            with self.assertRaisesRegex(ValueError, "chunksize must be >= 1."):
                pool.map(abs, [1], chunksize=size)
            with self.assertRaisesRegex(ValueError, "buffersize must be None or > 0"):
                pool.map(abs, [1], buffersize=size)
        for size in "foo", 2.0:
            with self.assertRaisesRegex(TypeError, "buffersize must be an integer or None"):
                pool.map(abs, [1], buffersize=size)
        with self.assertRaises(TypeError):
            pool.map(abs, 5)

    def test_results_before_an_exception_arrive(self):
        pool = self.pool(2)
        for size in None, 1, 100:
            got = []
            with self.assertRaises(ZeroDivisionError) as caught:
                for value in pool.map(divmod, itertools.repeat(100), [1] * 200 + [0] + [1] * 200, chunksize=size):
                    got.append(value)
            self.assertEqual(got, [(100, 0)] * 200)
            self.assertIn("ZeroDivisionError", str(caught.exception.__cause__))

    def test_other_errors(self):
        pool = self.pool(2)
        self.assertEqual(len(list(pool.map(jobs.echo, range(2000)))), 2000)
        with self.assertRaises(WorkerDied):
            list(pool.map(jobs.die, ["os._exit"]))
        with self.assertRaises(TypeError):
            list(pool.map(jobs.echo, [1, threading.Lock()]))
        self.assertEqual(list(pool.map(jobs.echo, range(10))), list(range(10)))

    def test_timeout(self):
        pool = self.pool(2)
        results = pool.map(jobs.wait_for_file, [self.path("never")], timeout=0.2)
        with self.assertRaises(concurrent.futures.TimeoutError):
            next(results)
        self.touch("never")
        self.assertEqual(list(pool.map(jobs.echo, range(5), timeout=LONG_S)), list(range(5)))

    def test_unread_results_do_not_stay(self):
        pool = self.pool(1)
        for thing in pool.map(jobs.my_object, range(100)):
            reference = weakref.ref(thing)
            del thing
            self.assertIsNone(reference())


class ReadingAhead(ExecutorCase):
    def test_endless_inputs(self):
        pool = self.pool(2)
        inputs = Inputs()
        results = pool.map(jobs.echo, inputs)
        self.assertEqual(list(itertools.islice(results, 20_000)), list(range(20_000)))
        results.close()
        self.assertLess(inputs.read, 20_000 + 64 * 16 * 1024)
        self.assertEqual(inputs.threads, {threading.current_thread()})
        self.assertEqual(pool._client.maps, set())

    def test_large_inputs_are_read_as_they_are_needed(self):
        pool = self.pool(2)
        inputs = Inputs(3000, lambda n: bytes(100_000))
        results = pool.map(len, inputs)
        self.assertEqual(next(results), 100_000)
        self.assertLess(inputs.read, 100)
        self.assertEqual(sum(results), 2999 * 100_000)

    def test_memory_is_flat(self):
        pool = self.pool(2)
        results = pool.map(jobs.echo, itertools.count())
        for _ in itertools.islice(results, 200_000):
            pass
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in itertools.islice(results, 800_000):
            pass
        self.assertLess(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, 16 * 1024)

    def test_a_result_that_nobody_takes_runs_everything(self):
        pool = self.pool(2)
        pool.map(jobs.append, itertools.repeat(self.path("lines")), [str(n) for n in range(300)])
        pool.shutdown()
        self.assertEqual(sorted(map(int, self.lines("lines"))), list(range(300)))

    def test_results_after_shutdown(self):
        pool = self.pool(2)
        unused = pool.map(jobs.echo, Inputs(1000))
        used = pool.map(jobs.echo, range(1000))
        self.assertEqual(next(used), 0)
        endless = pool.map(jobs.echo, Inputs())
        self.assertEqual(next(endless), 0)
        pool.shutdown()
        self.assertEqual(list(unused), list(range(1000)))
        self.assertEqual(list(used), list(range(1, 1000)))
        with self.assertRaisesRegex(RuntimeError, "after shutdown"):
            for number, value in enumerate(endless, 1):
                self.assertEqual(number, value)

    def test_cancel_futures_ends_a_map(self):
        pool = self.pool(1)
        results = pool.map(jobs.wait_for_file, itertools.repeat(self.path("go")))
        wait_until(lambda: self.lines("go.started"))
        self.touch("go")
        pool.shutdown(cancel_futures=True)
        with self.assertRaises(concurrent.futures.CancelledError):
            list(results)

    def test_an_iterator_that_is_left_reads_no_more(self):
        pool = self.pool(2)
        inputs = Inputs()
        for value in pool.map(jobs.echo, inputs):
            if value == 10:
                break
        gc.collect()
        read = inputs.read
        self.assertEqual(pool.submit(jobs.echo, 1).result(LONG_S), 1)
        self.assertEqual(inputs.read, read)
        self.assertEqual(pool._client.maps, set())

    def test_the_iterator_outlives_the_executor(self):
        pool = self.pool(2)
        client = pool._client
        results = pool.map(jobs.echo, Inputs(500))
        self.doCleanups()  # shuts down; and once more without that:
        self.assertEqual(list(results), list(range(500)))
        from orchestrator import Executor

        pool = Executor(2)
        client, results = pool._client, pool.map(jobs.echo, Inputs(500))
        del pool
        gc.collect()
        self.assertEqual(list(results), list(range(500)))
        client.thread.join(LONG_S)
        self.assertFalse(client.thread.is_alive())

    def test_an_error_of_the_inputs_comes_in_its_place(self):
        pool = self.pool(2)

        def inputs():
            yield from range(1000)
            raise KeyError("input")

        got = []
        with self.assertRaises(KeyError):
            for value in pool.map(jobs.echo, inputs()):
                got.append(value)
        self.assertEqual(got, list(range(1000)))
        with self.assertRaises(ZeroDivisionError):
            pool.map(jobs.echo, (1 // n for n in (1, 0)))

    def test_buffersize(self):
        pool = self.pool(2)
        for size in 1, 2, 4, 8, 1000:
            self.assertEqual(list(pool.map(str, range(4), buffersize=size)), ["0", "1", "2", "3"])
            inputs = Inputs()
            results = pool.map(jobs.echo, inputs, buffersize=size)
            self.assertEqual(inputs.read, size)
            self.assertEqual(next(results), 0)
            self.assertEqual(inputs.read, size + 1)
            self.assertEqual(list(itertools.islice(results, 100)), list(range(1, 101)))
            self.assertLessEqual(inputs.read, 101 + size)
        inputs = iter(range(4))
        pool.map(str, inputs, buffersize=2)
        pool.shutdown()
        self.assertEqual(next(inputs), 2)

    def test_chunks_grow_and_shrink_with_what_they_take(self):
        pool = self.pool(2)
        results = pool.map(jobs.echo, itertools.count())
        (lazy,) = pool._client.maps
        # Beside other programs' load, a chunk may take long without any fault of its own.
        wait_until(lambda: len(list(itertools.islice(results, 5_000))) and lazy.size.items > 100, "growing")
        results.close()
        results = pool.map(time.sleep, itertools.repeat(0.002))
        (lazy,) = pool._client.maps
        wait_until(lambda: len(list(itertools.islice(results, 20))) and lazy.size.items == 1, "shrinking")
        results.close()

    def test_a_broken_pool(self):
        pool = self.pool(1, on_crash="break")
        with self.assertRaises(BrokenProcessPool):
            list(pool.map(jobs.die, ["os._exit"] * 100))
        with self.assertRaises(BrokenProcessPool):
            pool.map(jobs.echo, [1])


if __name__ == "__main__":
    unittest.main()
