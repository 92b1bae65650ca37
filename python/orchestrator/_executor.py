"""`Executor`: the interface of `concurrent.futures.ProcessPoolExecutor`, and what goes beyond it."""

from __future__ import annotations

import os
import threading
import time
import warnings
from concurrent.futures import Executor as _Base

from . import _ending
from ._client import Client
from ._future import new_future
from ._options import JobOptions, Settings, workers_of

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Any, Callable, Iterable, Iterator, Literal, TypeVar

    from typing_extensions import ParamSpec, Unpack

    from ._options import Changes
    from ._processes import WorkerProcess
    from ._run_file import RunFile
    from ._stats import Stats

    _P = ParamSpec("_P")
    _T = TypeVar("_T")


class _Jobs(_Base):
    """What an executor and its views have in common: taking jobs, with some options."""

    _client: Client
    _options: JobOptions

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Runs `fn(*args, **kwargs)` in a worker; the future has its result."""
        future: Future[_T] = new_future()
        client = self._client
        if client.run_file is not None:
            from ._recorded import submit

            submit(client, client.run_file, future, fn, args, kwargs, self._options)
            return future
        new_call = client.new_call or client.start()
        client.submit(new_call(future, fn, args, kwargs, self._options))
        return future

    def map(
        self,
        fn: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
    ) -> Iterator[_T]:
        """The results of `fn` for the items of the iterables, in their order.

        Inputs are read as results are taken, some ahead, so that they may be endless. `chunksize` items make one job;
        without it, chunks are made so that small items cost little and a result is held back for at most a millisecond.
        `buffersize` bounds how many inputs are read ahead. With `timeout`, taking a result raises `TimeoutError` when so
        many seconds have passed since the call. In a subclass that overrides `submit`, each item goes through that.
        """
        if chunksize is not None and chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        client = self._client
        end_time = None if timeout is None else timeout + time.monotonic()
        if getattr(self.submit, "__func__", None) is not _Jobs.submit:
            from ._plain_map import plain_map

            return plain_map(self.submit, fn, iterables, end_time, buffersize)
        try:
            client.check()
        except RuntimeError:
            for _ in zip(*iterables):
                raise
            return (_ for _ in ())  # nothing can be had of a pool in any state, as in the standard library
        if client.run_file is not None:
            chunksize = 1
        elif client.new_call is None:
            client.start()  # before anything else: it takes a while, and there is more to import
        from ._map import LazyMap

        return LazyMap(client, fn, iterables, self._options, chunksize, buffersize).results(end_time)

    def options(self, **changes: Unpack[Changes]) -> _Jobs:
        """The same pool with other options for the jobs that are submitted to what this returns.

        `timeout`: seconds that a job may run; then it is ended, and its future raises `JobTimeout`.
        `queue_timeout`: seconds after which a job that has not started never will, and its future raises `QueueTimeout`.
        `retries`: how many more times a job is tried whose worker has died or that took too long.
        `memory`: bytes, or text as "2G", that the worker may use while the job runs; then the job is ended.
        `priority`: jobs with a higher one come first. 0 is usual.

        >>> with Executor(2) as pool:
        ...     pool.options(timeout=10, retries=1).submit(pow, 2, 5).result()
        32
        """
        return _View(self, self._options.replace(**changes))

    def cancel(self, future: Future[Any]) -> bool:
        """Cancels a job, also one that runs: its work is ended, and the future is cancelled. False if it has ended, or is
        of another pool."""
        return self._client.cancel(future)


class Executor(_Jobs):
    """A pool of worker processes: `concurrent.futures.ProcessPoolExecutor`, word for word.

    A worker that dies fails the job that it was running, with `WorkerDied`, and nothing else; with `on_crash="break"` it
    breaks the pool, as in the standard library. Processes start with the first job. A pool that is dropped, or that
    a program leaves behind at its end, finishes what was submitted.

    >>> with Executor(max_workers=2) as pool:
    ...     list(pool.map(abs, range(-3, 3)))
    [3, 2, 1, 0, 1, 2]
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        on_crash: str = "fail-job",
        min_workers: int | None = None,
        idle_after: float | None = None,
        max_pending: int | None = None,
        timeout: float | None = None,
        queue_timeout: float | None = None,
        retries: int = 0,
        memory: int | str | None = None,
        priority: int = 0,
        run_file: str | os.PathLike[str] | None = None,
    ) -> None:
        """Makes a pool; what is not in the standard library's:

        `on_crash`: "fail-job" or "break", see the class.
        `min_workers`: how many workers stay when there is nothing to do for `idle_after` seconds.
        `max_pending`: `submit` waits while so many jobs have not ended. Usually it never waits.
        `run_file`: a file in which results are recorded. When the program is started again, however it has ended, calls
        that have returned are not run again: their results are in the file.
        `timeout`, `queue_timeout`, `retries`, `memory`, `priority`: what `options` says, for all jobs.

        `mp_context` is accepted, but workers are always fresh interpreters, as with "spawn".
        """
        settings = Settings.checked(
            max_workers, initializer, initargs, max_tasks_per_child, min_workers, idle_after, on_crash, max_pending
        )
        _check_context(mp_context, max_tasks_per_child)
        self._given_context = mp_context
        self._max_workers = settings.workers
        self._options = JobOptions(
            timeout=timeout, queue_timeout=queue_timeout, retries=retries, memory=memory, priority=priority
        )
        self._client = Client(settings, None if run_file is None else _open_run_file(run_file))
        self._client.owned_by(self)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more jobs; those that there are still end, or with `cancel_futures` those that have begun. With `wait`
        it returns when they have, and no process is left."""
        _ending.shutdown(self._client, wait, cancel_futures)

    def terminate_workers(self) -> None:
        """Ends all workers now. What runs fails with `BrokenProcessPool`, what waits is cancelled, and nothing more can be
        submitted."""
        _ending.terminate(self._client)

    kill_workers = terminate_workers

    def resize(self, max_workers: int) -> None:
        """Changes the number of workers. Workers that are too many end when they have finished their job."""
        self._max_workers = workers_of(max_workers)
        self._client.resize(self._max_workers)

    def stats(self) -> Stats:
        """How many jobs there were and are, by what has become of them."""
        return self._client.stats()

    @property
    def _processes(self) -> dict[int, WorkerProcess] | None:
        client = self._client
        if client.shut:
            return None
        if client.agent is None:
            return {}
        from ._processes import children_of

        found = children_of(client.agent.process.pid)
        while not (found or client.ready or client.ended):
            time.sleep(0.001)  # the agent is just starting the first
            found = children_of(client.agent.process.pid)
        return found

    @property
    def _broken(self) -> str | bool:
        return str(self._client.broken()) if self._client.broken is not None else False

    @property
    def _executor_manager_thread(self) -> threading.Thread | None:
        return None if self._client.shut else self._client.thread

    @property
    def _mp_context(self) -> Any:
        if self._given_context is None:
            import multiprocessing

            self._given_context = multiprocessing.get_context("spawn")
        return self._given_context

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        if _ending.is_interrupt(error):
            # The standard library's workers get Ctrl-C from the terminal; ours do not.
            _ending.terminate(self._client, True)
        self.shutdown(wait=True)
        return False


class _View(_Jobs):
    """An executor's pool, with other options. It keeps the executor alive, and cannot end it."""

    def __init__(self, jobs: _Jobs, options: JobOptions) -> None:
        self._jobs = jobs
        self._client = jobs._client
        self._options = options

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Does nothing: the pool is the executor's."""


def _open_run_file(path: str | os.PathLike[str]) -> RunFile:
    from ._run_file import RunFile

    return RunFile(path)


def _check_context(mp_context: Any, max_tasks_per_child: int | None) -> None:
    if mp_context is None or mp_context.get_start_method(allow_none=False) != "fork":
        return
    if max_tasks_per_child is not None:
        raise ValueError(
            "max_tasks_per_child is incompatible with the 'fork' multiprocessing start method; supply a different"
            " mp_context."
        )
    warnings.warn(
        "mp_context 'fork': workers are fresh interpreters and do not share this process's variables",
        RuntimeWarning,
        stacklevel=3,
    )
