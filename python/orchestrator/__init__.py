"""Worker pools that survive their workers: `Executor` is `concurrent.futures.ProcessPoolExecutor`, word for word, in front
of the program `orchestrator`.

    from orchestrator import Executor

    with Executor(max_workers=4) as pool:
        results = list(pool.map(function, items))

Names are imported when they are asked for: workers import this package too, and start sooner for it.
"""

TYPE_CHECKING = False  # type checkers know the name; `typing` itself is a good part of a worker's start
if TYPE_CHECKING:
    from typing import Any

    from ._async_pool import AsyncPool as AsyncPool
    from ._errors import (
        AgentFailed as AgentFailed,
        BrokenProcessPool as BrokenProcessPool,
        InitializerFailed as InitializerFailed,
        JobTimeout as JobTimeout,
        JobUnreadable as JobUnreadable,
        QueueTimeout as QueueTimeout,
        RemoteError as RemoteError,
        ResultUnreadable as ResultUnreadable,
        WorkerDied as WorkerDied,
    )
    from ._executor import Executor as Executor
    from ._run_file import RunFileError as RunFileError
    from ._stats import Stats as Stats

__version__ = "0.1.0"

_HOME = {
    "AgentFailed": "_errors",
    "AsyncPool": "_async_pool",
    "BrokenProcessPool": "_errors",
    "Executor": "_executor",
    "InitializerFailed": "_errors",
    "JobTimeout": "_errors",
    "JobUnreadable": "_errors",
    "QueueTimeout": "_errors",
    "RemoteError": "_errors",
    "RunFileError": "_run_file",
    "ResultUnreadable": "_errors",
    "Stats": "_stats",
    "WorkerDied": "_errors",
}

__all__ = [
    "AgentFailed",
    "AsyncPool",
    "BrokenProcessPool",
    "Executor",
    "InitializerFailed",
    "JobTimeout",
    "JobUnreadable",
    "QueueTimeout",
    "RemoteError",
    "ResultUnreadable",
    "RunFileError",
    "Stats",
    "WorkerDied",
]


def __getattr__(name: str) -> "Any":
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # `importlib` would have to be imported itself.
    value = getattr(__import__(f"{__name__}.{home}", fromlist=[name]), name)
    globals()[name] = value
    return value


def __dir__() -> "list[str]":
    return sorted({*globals(), *_HOME})
