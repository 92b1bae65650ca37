"""What can go wrong with a job or a pool, beyond what the job's own function raises.

All but `RemoteError` are `BrokenProcessPool`s, so that code written for the standard library's executor catches them. Every
future gets an object of its own: a traceback grows with every `result()` that raises it.

This module imports `concurrent.futures.process`, and with it most of `multiprocessing`. That is a good part of a
program's start, so nothing imports this module before something has gone wrong or the program asks for a name of it.
"""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool

__all__ = [
    "AgentFailed",
    "BrokenProcessPool",
    "InitializerFailed",
    "JobTimeout",
    "JobUnreadable",
    "QueueTimeout",
    "RemoteError",
    "ResultUnreadable",
    "WorkerDied",
]

TERMINATED = "A process in the process pool was terminated abruptly while the future was running or pending."
"""The standard library's words, for code that looks for them."""


class _JobEnded(BrokenProcessPool):
    """A job whose worker process is gone."""

    job: int
    """The number of the job in its pool, from 1."""
    reason: str
    """What probably happened, in one line."""
    exit_code: int | None
    """The worker's exit status, if it left by itself."""
    signal: int | None
    """The signal that ended the worker, if one did."""
    attempts: int
    """How many times the job has been tried."""
    stderr: str
    """The last lines that the worker wrote to its standard error, at most 4 KiB."""

    _outcome: int | None = None  # by the protocol's numbers

    def __init__(
        self,
        reason: str,
        *,
        name: str = "",
        job: int = 0,
        exit_code: int | None = None,
        signal: int | None = None,
        attempts: int = 1,
        stderr: str = "",
    ) -> None:
        text = f"{name or 'job'}: {reason}"
        if attempts > 1:
            text += f" ({attempts} attempts)"
        if stderr:
            text += "; the last lines of its stderr:\n" + "\n".join("    " + line for line in stderr.splitlines())
        super().__init__(text)
        self.job = job
        self.reason = reason
        self.exit_code = exit_code
        self.signal = signal
        self.attempts = attempts
        self.stderr = stderr

    def __reduce__(self) -> tuple[object, ...]:
        # The arguments of the constructor are not those of the exception.
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


class WorkerDied(_JobEnded):
    """The worker process died while it ran this job: the job left the process, crashed it, or used too much memory.

    Only this job fails; the others go on, with a new worker in the place of the dead one. With `on_crash="break"`
    all others fail too, as they do in the standard library.
    """


class JobTimeout(_JobEnded, TimeoutError):
    """The job ran for longer than its `timeout`, and was ended."""


class QueueTimeout(BrokenProcessPool, TimeoutError):
    """The job had not started when its `queue_timeout` was over. It never ran and never will."""


class JobUnreadable(BrokenProcessPool):
    """The worker could not unpickle the job. The message holds the worker's traceback."""

    _outcome: int | None = None


class ResultUnreadable(BrokenProcessPool):
    """The job ran, but its result could not be unpickled here; `__cause__` says why."""


class InitializerFailed(BrokenProcessPool):
    """The pool's initializer raised, or its arguments could not be pickled. No job of the pool can run."""


class AgentFailed(BrokenProcessPool):
    """The `orchestrator` program was not found, is of another version, or has ended. The pool is of no more use."""


class RemoteError(Exception):
    """Stands for an exception that a job raised and that cannot be made anew here: it has no pickle, or its class takes
    other arguments than it passes on. `__cause__` shows the traceback in the worker."""

    class_name: str
    """The name of the exception's class."""
    text: str
    """What the exception's `str` was."""

    def __init__(self, class_name: str, text: str) -> None:
        super().__init__(class_name, text)
        self.class_name = class_name
        self.text = text

    def __str__(self) -> str:
        return f"{self.class_name}: {self.text}"


def _rebuild(kind: type[_JobEnded], args: tuple[object, ...], attributes: dict[str, object]) -> _JobEnded:
    error = kind("")
    error.args = args
    error.__dict__.update(attributes)
    return error
