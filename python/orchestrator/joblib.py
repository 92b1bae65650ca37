"""joblib's `Parallel`, and all that stands on it, with our workers.

    import joblib, orchestrator.joblib

    orchestrator.joblib.register()
    with joblib.parallel_config("orchestrator", n_jobs=4):
        GridSearchCV(model, grid).fit(x, y)

Workers are kept for the next `Parallel` with as many jobs; all but one go when they have had nothing to do for a minute. A worker that
dies fails the call that it was working for, with `WorkerDied`, and none after it.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from typing import Any, Callable

from joblib._parallel_backends import AutoBatchingMixin, FallbackToBackend, SequentialBackend  # type: ignore[import-untyped,import-not-found,unused-ignore]
from joblib.parallel import ParallelBackendBase, cpu_count, register_parallel_backend  # type: ignore[import-untyped,import-not-found,unused-ignore]

from ._executor import Executor

_IDLE_AFTER_S = 60.0


def register(name: str = "orchestrator") -> None:
    """Makes the backend known to joblib, under this name."""
    register_parallel_backend(name, Backend)


class Backend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]  # joblib has no types
    """A backend of joblib's. `joblib.parallel_config` and `Parallel` make it by its name; `timeout` (of a batch from its
    start), `retries`, `memory` and `priority` may be given there, as in `Executor`."""

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    uses_threads = False
    supports_sharedmem = False

    # A job costs so little that batches need not be large to hide it.
    MIN_IDEAL_BATCH_DURATION = 0.01
    MAX_IDEAL_BATCH_DURATION = 0.1

    _executor: Executor | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """How many workers `n_jobs` means: negative ones count from the number of CPUs."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        return max(cpu_count() + 1 + n_jobs, 1) if n_jobs < 0 else n_jobs

    def configure(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, n_jobs: int = 1, parallel: Any = None, prefer: Any = None, require: Any = None, **options: Any
    ) -> int:
        """Gets the workers, and returns how many."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        self._given = dict(options)
        self._futures: set[Future[Any]] = set()
        options = {**self.backend_kwargs, **options}
        # What joblib tells every backend about files that arrays are put into; here they travel in shared memory.
        for of_joblib in ("temp_folder", "max_nbytes", "mmap_mode", "verbose", "context", "context_id"):
            options.pop(of_joblib, None)
        self._executor = _executor(n_jobs, tuple(sorted(self._prepare_worker_env(n_jobs).items())))
        self._jobs = self._executor.options(**options) if options else self._executor
        return n_jobs

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], Any] | None = None) -> Future[Any]:
        """Runs a batch."""
        future = self._jobs.submit(func)
        futures = self._futures
        futures.add(future)
        future.add_done_callback(futures.discard)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """The result of a batch."""
        return out.result()

    def terminate(self) -> None:
        """The call is over. Its workers wait for the next."""
        self._executor = None
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Ends what runs: a batch has failed."""
        executor, self._executor = self._executor, None
        if executor is not None:
            for future in list(self._futures):  # and no others: calls of other threads have the same workers
                executor.cancel(future)
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel, **self._given)


_lock = threading.Lock()
_executors: dict[tuple[int, int, tuple[tuple[str, str], ...]], Executor] = {}


def _executor(workers: int, environment: tuple[tuple[str, str], ...]) -> Executor:
    """The executor with so many workers, which is kept. A process that was forked has its own."""
    key = (os.getpid(), workers, environment)
    with _lock:
        executor = _executors.get(key)
        if executor is None or not _usable(executor):
            # Set before numerical libraries are loaded, which look once.
            executor = _executors[key] = Executor(
                workers, initializer=_set_environment, initargs=(environment,), min_workers=0, idle_after=_IDLE_AFTER_S
            )
        return executor


def _usable(executor: Executor) -> bool:
    try:
        executor._client.check()
    except Exception:
        return False
    return not executor._client.ended


def _set_environment(environment: tuple[tuple[str, str], ...]) -> None:
    os.environ.update(environment)
