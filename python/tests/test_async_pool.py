"""`AsyncPool`: results, errors, cancellation and ends, with real workers."""

import asyncio
import functools
import gc
import itertools
import os
import signal
import time
import unittest
import warnings

from executor_case import LONG_S, alive, descriptors, ExecutorCase, wait_until
import executor_jobs as jobs
from orchestrator import AsyncPool, JobTimeout, QueueTimeout, WorkerDied
from orchestrator._errors import AgentFailed, BrokenProcessPool, InitializerFailed, RemoteError


def asynchronous(test):
    """A test that is a coroutine function."""

    @functools.wraps(test)
    def run(self):
        asyncio.run(asyncio.wait_for(test(self), LONG_S))

    return run


async def until(condition, what="it"):
    deadline = time.monotonic() + LONG_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("%s did not happen" % what)
        await asyncio.sleep(0.005)


class AsyncPoolTest(ExecutorCase):
    @asynchronous
    async def test_results_come_in_the_order_of_gather(self):
        async with AsyncPool(2) as pool:
            self.assertEqual(await pool.run(jobs.add, 1, y=2), 3)
            self.assertEqual(await asyncio.gather(*(pool.run(jobs.echo, n) for n in range(2000))), list(range(2000)))
            self.assertEqual(await asyncio.gather(*(pool.submit(jobs.echo, n) for n in range(2000))), list(range(2000)))
            done, _ = await asyncio.wait([pool.submit(jobs.echo, n) for n in range(10)])
            self.assertEqual(sorted(future.result() for future in done), list(range(10)))
            self.assertEqual(len(pool._flight), 0)

    @asynchronous
    async def test_map_is_lazy_ordered_and_chunked(self):
        async with AsyncPool(2) as pool:
            self.assertEqual([n async for n in pool.map(jobs.echo, range(10_000))], list(range(10_000)))
            self.assertEqual([n async for n in pool.map(jobs.add, range(5), [10] * 3)], [10, 11, 12])
            self.assertEqual([n async for n in pool.map(jobs.echo, [])], [])
            self.assertEqual([n async for n in pool.map(jobs.echo, range(7), chunksize=3)], list(range(7)))
            taken = []
            endless = pool.map(jobs.echo, (taken.append(n) or n for n in itertools.count()), buffersize=8)
            self.assertEqual([await endless.__anext__() for _ in range(20)], list(range(20)))
            self.assertLessEqual(len(taken), 20 + 8)
            await endless.aclose()
            with self.assertRaises(ValueError):
                await pool.map(jobs.echo, [1], chunksize=0).__anext__()

    @asynchronous
    async def test_an_item_that_raises_ends_a_map_behind_those_before_it(self):
        async with AsyncPool(2) as pool:
            seen = []
            with self.assertRaises(ValueError):
                async for n in pool.map(int, ["1", "2", "x", "4"], chunksize=4):
                    seen.append(n)
            self.assertEqual(seen, [1, 2])

            def inputs():
                yield 1
                raise KeyError("input")

            seen = []
            with self.assertRaises(KeyError):
                async for n in pool.map(jobs.echo, inputs()):
                    seen.append(n)
            self.assertEqual(seen, [1])

    @asynchronous
    async def test_exceptions_have_the_workers_traceback_as_their_cause(self):
        async with AsyncPool(2) as pool:
            with self.assertRaisesRegex(ValueError, "on purpose") as caught:
                await pool.run(jobs.fail)
            self.assertIn("in fail", str(caught.exception.__cause__))
            with self.assertRaises(RemoteError):
                await pool.run(jobs.raise_two_arguments)
            with self.assertRaises((TypeError, AttributeError)):
                await pool.run(jobs.return_unpicklable)
            with self.assertRaises(RuntimeError):  # a future cannot hold it
                await pool.run(jobs.leave, StopIteration)
            with self.assertRaises(ZeroDivisionError):
                await pool.run(jobs.echo, jobs.AtPickle("raise"))
            with self.assertRaises(BrokenProcessPool):
                await pool.run(jobs.echo, jobs.AtUnpickleThere("raise"))
            self.assertEqual(await pool.run(jobs.echo, 1), 1)

    @asynchronous
    async def test_a_worker_that_dies_fails_its_job_and_no_other(self):
        async with AsyncPool(2) as pool:
            for how in ("os._exit", "C exit", "segfault"):
                others = [pool.submit(jobs.echo, n) for n in range(20)]
                with self.assertRaises(WorkerDied) as caught:
                    await pool.run(jobs.die, how)
                self.assertEqual(await asyncio.gather(*others), list(range(20)))
                died = caught.exception
                self.assertEqual(
                    (died.exit_code, died.signal),
                    {"os._exit": (3, None), "C exit": (4, None), "segfault": (None, signal.SIGSEGV)}[how],
                )

    @asynchronous
    async def test_who_is_cancelled_ends_its_job(self):
        async with AsyncPool(1) as pool:
            await pool.run(jobs.pid)
            running = asyncio.ensure_future(pool.run(jobs.start_and_sleep, self.path("pid")))
            await until(lambda: self.lines("pid"), "the job's start")
            waiting = pool.submit(jobs.append, self.path("ran"), "x")
            others = [pool.submit(jobs.echo, n) for n in range(5)]
            await asyncio.sleep(0)
            waiting.cancel()
            running.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await running
            self.assertTrue(waiting.cancelled())
            self.assertEqual(await asyncio.gather(*others), list(range(5)))
            self.assertEqual(self.lines("ran"), [])

    @asynchronous
    async def test_time_limits_of_asyncio_end_the_job(self):
        async with AsyncPool(1) as pool:
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(pool.run(jobs.start_and_sleep, self.path("pid")), 0.5)
            self.assertEqual(await pool.run(jobs.echo, 1), 1)

    @asynchronous
    async def test_options(self):
        async with AsyncPool(1, retries=1) as pool:
            self.assertEqual(await pool.run(jobs.crash_unless, self.path("first")), "second")
            with self.assertRaises(JobTimeout):
                await pool.options(timeout=0.3, retries=0).run(time.sleep, 60)
            running = pool.submit(jobs.wait_for_file, self.path("go"), 7)
            await until(lambda: self.lines("go.started"), "the job's start")
            with self.assertRaises(QueueTimeout):
                await pool.options(queue_timeout=0.1).run(jobs.append, self.path("ran"), "x")
            # What waits here is sent by priority: fill the window first.
            filling = [pool.submit(jobs.echo, n) for n in range(pool._window.size)]
            low = [pool.options(priority=-1).submit(jobs.append, self.path("order"), "low") for _ in range(3)]
            high = [pool.options(priority=5).submit(jobs.append, self.path("order"), "high") for _ in range(3)]
            await asyncio.sleep(0)
            self.touch("go")
            self.assertEqual(await running, 7)
            await asyncio.gather(*filling, *low, *high)
            self.assertEqual(self.lines("order"), ["high"] * 3 + ["low"] * 3)
            self.assertEqual(self.lines("ran"), [])
            with self.assertRaises(TypeError):
                pool.options(color="red")

    @asynchronous
    async def test_an_exception_that_leaves_the_block_ends_what_runs(self):
        with self.assertRaises(KeyError):
            async with AsyncPool(1) as pool:
                running = pool.submit(jobs.start_and_sleep, self.path("pid"))
                await until(lambda: self.lines("pid"), "the job's start")
                waiting = [pool.submit(jobs.echo, n) for n in range(100)]
                raise KeyError("on purpose")
        self.assertTrue(running.cancelled())
        self.assertTrue(all(future.done() for future in waiting))
        worker = int(self.lines("pid")[0])
        await until(lambda: not alive(worker), "the worker's end")

    @asynchronous
    async def test_closing_waits_for_what_was_submitted(self):
        pool = AsyncPool(2)
        futures = [pool.submit(jobs.echo, n) for n in range(500)]
        await pool.close()
        self.assertEqual([future.result() for future in futures], list(range(500)))
        with self.assertRaises(RuntimeError):
            pool.submit(jobs.echo, 1)
        await pool.close()
        await AsyncPool(2).close()  # one that was not used

    @asynchronous
    async def test_an_agent_that_is_killed_fails_what_runs_and_says_so(self):
        async with AsyncPool(1) as pool:
            running = pool.submit(jobs.start_and_sleep, self.path("pid"))
            await until(lambda: self.lines("pid"), "the job's start")
            worker = int(self.lines("pid")[0])
            pool._agent.process.kill()
            with self.assertRaises(AgentFailed):
                await running
            with self.assertRaises(AgentFailed):
                pool.submit(jobs.echo, 1)
            await until(lambda: not alive(worker), "the worker's end")

    @asynchronous
    async def test_an_initializer(self):
        async with AsyncPool(2, jobs.initialize, (42,)) as pool:
            self.assertEqual(await pool.run(jobs.initial), 42)
        async with AsyncPool(1, jobs.raise_in_initializer) as pool:
            with self.assertRaisesRegex(InitializerFailed, "raised RuntimeError: the initializer does not want to"):
                await pool.run(jobs.echo, 1)

    @asynchronous
    async def test_a_close_that_is_cancelled_leaves_no_process(self):
        pool = AsyncPool(1)
        await pool.run(jobs.echo, 1)
        agent = pool._agent
        running = pool.submit(jobs.start_and_sleep, self.path("pid"))
        await until(lambda: self.lines("pid"), "the job's start")
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(pool.close(), 0.05)
        self.assertTrue(running.cancelled())
        await until(lambda: agent.process.returncode is not None, "the agent's end")

    def test_a_pool_belongs_to_its_loop(self):
        pool, loops = AsyncPool(1), [asyncio.new_event_loop() for _ in range(2)]
        self.assertEqual(loops[0].run_until_complete(pool.run(jobs.echo, 1)), 1)
        with self.assertRaisesRegex(RuntimeError, "another event loop"):
            loops[1].run_until_complete(pool.run(jobs.echo, 2))
        with self.assertRaisesRegex(RuntimeError, "does not run"):
            pool.submit(jobs.echo, 3)
        loops[0].run_until_complete(pool.close())
        for loop in loops:
            loop.close()

    @asynchronous
    async def test_large_payloads_go_both_ways(self):
        async with AsyncPool(2) as pool:
            for size in (300_000, 3_000_000, 20_000_000):
                data = os.urandom(size)
                self.assertEqual(await pool.run(jobs.echo, data), data)
                self.assertEqual(await pool.run(jobs.echo, [data, bytearray(data)]), [data, bytearray(data)])

    @asynchronous
    async def test_resize(self):
        async with AsyncPool(1) as pool:
            await pool.run(jobs.pid)
            pool.resize(3)
            futures = [pool.submit(jobs.wait_for_file, self.path("go")) for _ in range(3)]
            await until(lambda: len(self.lines("go.started")) == 3, "three jobs at once")
            self.touch("go")
            await asyncio.gather(*futures)

    def test_pools_leave_nothing(self):
        async def use():
            async with AsyncPool(1) as pool:
                await pool.run(jobs.echo, 1)

        asyncio.run(use())
        before = descriptors()
        for _ in range(5):
            asyncio.run(use())
        gc.collect()
        self.assertEqual(descriptors(), before)

    def test_a_pool_that_was_not_closed_warns_and_ends(self):
        async def use():
            pool = AsyncPool(1)
            return await pool.run(jobs.pid)

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            worker = asyncio.run(use())
            gc.collect()
        self.assertIn(ResourceWarning, [warning.category for warning in caught])
        wait_until(lambda: not alive(worker), "the worker's end")

    def test_a_script_without_its_main_guard_is_told(self):
        done = self.run_script(
            """
import asyncio
from orchestrator import AsyncPool
def double(n):
    return 2 * n
async def main():
    async with AsyncPool(1) as pool:
        await pool.run(double, 1)
asyncio.run(main())
""",
            check=False,
        )
        line = done.stderr.splitlines()[-1]
        self.assertRegex(line, r"JobUnreadable: double\(\): the program starts a pool .* under `if __name__ == .*:`$")

    def test_ctrl_c_is_one_keyboard_interrupt(self):
        done = self.run_script(
            """
import asyncio, os, signal
import executor_jobs as jobs
from orchestrator import AsyncPool

async def main():
    async with AsyncPool(2) as pool:
        running = [pool.submit(jobs.start_and_sleep, sys.argv[1]) for _ in range(2)]
        while not os.path.exists(sys.argv[1]):
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.gather(*running)

if __name__ == "__main__":
    asyncio.run(main())
""",
            self.path("pid"),
            check=False,
        )
        self.assertEqual(done.stderr.count("\nKeyboardInterrupt\n"), 1, done.stderr)
        wait_until(lambda: not any(alive(int(pid)) for pid in self.lines("pid")), "the workers' end")


if __name__ == "__main__":
    unittest.main()
