"""`AsyncPool`: the pool for asyncio, without threads.

Everything happens in the event loop's thread: what was submitted in one turn of the loop is pickled and written at once in
the next, what has arrived is read when the loop says so. So there is no lock, and no other thread that has to be woken up:
that is what makes it several times as fast as `run_in_executor`.
"""

from __future__ import annotations

import asyncio
import os
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, AsyncGenerator, Callable, Iterable, TypeVar

from ._async_engine import Engine
from ._async_job import Job
from ._async_map import results
from ._options import JobOptions, Settings, workers_of

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, Unpack

    from ._options import Changes

    _P = ParamSpec("_P")

_T = TypeVar("_T")

class _Jobs:
    """What a pool and its views have in common: taking jobs, with some options."""

    _pool: AsyncPool
    _options: JobOptions

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> asyncio.Future[_T]:
        """Runs `fn(*args, **kwargs)` in a worker. The future has its result; to cancel it ends the job."""
        return self._pool._take(Job, fn, args, kwargs, self._options)

    async def run(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """The result of `fn(*args, **kwargs)`, which runs in a worker. When the caller is cancelled, by
        `asyncio.timeout` for example, the job is ended."""
        return await self._pool._take(Job, fn, args, kwargs, self._options)

    def map(
        self,
        fn: Callable[..., _T],
        *iterables: Iterable[Any],
        chunksize: int | None = None,
        buffersize: int | None = None,
    ) -> AsyncGenerator[_T, None]:
        """The results of `fn` for the items of the iterables, in their order.

        Inputs are read while results are taken, some ahead, so that they may be endless. `chunksize` items make one job;
        without it, chunks are made so that small items cost little and a result is held back for at most a millisecond.
        `buffersize` bounds how many inputs are read ahead. Leaving the iteration (close it, if it is left early) cancels
        what has not ended.
        """
        for name, value in (("chunksize", chunksize), ("buffersize", buffersize)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise TypeError(f"{name} must be an integer or None")
            if value is not None and value < 1:
                raise ValueError(f"{name} must be >= 1")
        return results(self._pool, self._options, fn, iterables, chunksize, buffersize)

    def options(self, **changes: Unpack[Changes]) -> _Jobs:
        """The same pool with other options for the jobs that are given to what this returns: `timeout`,
        `queue_timeout`, `retries`, `memory`, `priority`, as `Executor.options` explains them."""
        return _View(self._pool, self._options.replace(**changes))


class _View(_Jobs):
    """A pool with other options."""

    def __init__(self, pool: AsyncPool, options: JobOptions) -> None:
        self._pool = pool
        self._options = options


class AsyncPool(_Jobs, Engine):
    """A pool of worker processes for one event loop.

    Processes start with the first job. A worker that dies fails the job that it was running, with `WorkerDied`, and nothing
    else. Leaving `async with` waits for all jobs, or ends them if an exception leaves it.

    >>> async def main():
    ...     async with AsyncPool(2) as pool:
    ...         print(await pool.run(pow, 2, 5))
    ...         print([n async for n in pool.map(abs, range(-2, 3))])
    >>> asyncio.run(main())
    32
    [2, 1, 0, 1, 2]
    """

    def __init__(
        self,
        max_workers: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        min_workers: int | None = None,
        idle_after: float | None = None,
        timeout: float | None = None,
        queue_timeout: float | None = None,
        retries: int = 0,
        memory: int | str | None = None,
        priority: int = 0,
        run_file: str | os.PathLike[str] | None = None,
    ) -> None:
        """Makes a pool; arguments are those of `Executor`."""
        Engine.__init__(
            self, Settings.checked(max_workers, initializer, initargs, max_tasks_per_child, min_workers, idle_after), run_file
        )
        self._pool = self
        self._options = JobOptions(
            timeout=timeout, queue_timeout=queue_timeout, retries=retries, memory=memory, priority=priority
        )
    async def __aenter__(self) -> AsyncPool:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.terminate()
        await self.close()

    async def close(self) -> None:
        """Takes no more jobs, and returns when all have ended and no process is left. Cancelled while it waits, it ends
        them at once."""
        self._closing = True
        self._drain_if_idle()
        if self._agent is None:
            await self._close_run_file()
            return
        assert self._ended is not None
        try:
            await asyncio.shield(self._ended)
        except asyncio.CancelledError:
            self.terminate()
            # The loop may be about to close: this is nothing for it any more.
            threading.Thread(target=self._bury, name="orchestrator-end", daemon=True).start()
            raise
        await self._reap()
        await self._close_run_file()

    def _bury(self) -> None:
        if self._agent is not None:
            self._agent.reap()
        if self._run_file is not None:
            self._run_file.close(False)

    def terminate(self) -> None:
        """Ends everything at once: all jobs are cancelled, those that run too."""
        self._closing = self._terminated = True
        if self._agent is not None:
            self._agent.hang_up()
        # Their answers would come to nobody.
        lost = [*self._flight.values(), *(job for queue in self._waiting for job in queue)]
        self._waiting.clear()
        for job in lost:
            asyncio.Future.cancel(job)

    def resize(self, max_workers: int) -> None:
        """Changes the number of workers. Workers that are too many end when they have finished their job."""
        self._window.resize(workers_of(max_workers))
        if self._ready:
            self._connection.resize(self._window.workers)
            self._flush_soon()
