"""Python functions as tasks of `orchestrator run`, or of any other orchestrator.

    # mytasks.py
    from orchestrator.worker import run, task

    @task
    def resize(path: str, width: int) -> int:
        ...

    if __name__ == "__main__":
        run()

    $ orchestrator run --worker 'python3 -m mytasks' --task resize < args.jsonl

Without the last two lines, `--worker 'python3 -m orchestrator.worker mytasks'` does the same. The standard library is all
that is needed: this also works in another virtual environment or on another machine.

A line of JSON is a job's input. A list holds the positional arguments, an object the keyword arguments, anything else is the
only argument. What the function returns is the result. An exception makes the job fail, with its text and place; an input
that does not fit the parameters, or their annotations as int, float, str, bool, list or dict, is rejected without calling
the function. Functions may print: that is the job's output, never part of the protocol. `async def` works as well.
"""

from __future__ import annotations

import sys
from time import monotonic

from orchestrator import _serve, _wire
from orchestrator._serve import JobCancelled
from orchestrator._tasks import Tasks, registered

TYPE_CHECKING = False  # typing takes longer to import than all else here
if TYPE_CHECKING:
    from typing import Any, Callable, NoReturn, TypeVar, overload

    Function = TypeVar("Function", bound=Callable[..., Any])
else:

    def overload(function):
        return function


__all__ = ["JobCancelled", "attempt", "progress", "run", "task"]

_REPORT_EVERY_S = 0.1


@overload
def task(function: Function, *, name: str | None = None) -> Function: ...
@overload
def task(*, name: str | None = None) -> Callable[[Function], Function]: ...
def task(function: Any = None, *, name: str | None = None) -> Any:
    """Makes a function a task, under its own name or another one. The function itself is not changed.

    >>> @task
    ... def double(number: int) -> int:
    ...     return 2 * number
    >>> double(21)
    42
    """
    if function is None:
        return lambda function: task(function, name=name)
    name_of_task: str = name or function.__name__
    if registered.setdefault(name_of_task, function) is not function:
        raise ValueError("there is a task %r already" % name_of_task)
    return function


def run() -> NoReturn:
    """Offers the tasks to the orchestrator that has started this program. Does not return."""
    _serve_tasks(Tasks())


def attempt() -> int:
    """Which try this is at the running job: 1 for the first one, 0 if there is no job."""
    worker = _serve.this_worker
    return worker.current[1] if worker is not None and worker.current is not None else 0


def progress(done: int, total: int = 0) -> None:
    """Tells how far the running job has come, in units of its own; `total` 0 means unknown. Cheap enough for every
    step of a loop: only ten times a second anything is sent. Without a job it does nothing."""
    worker = _serve.this_worker
    if worker is None:
        return
    now = monotonic()
    if now - worker.reported < _REPORT_EVERY_S and done != total:
        return
    worker.reported = now
    worker.take_role()
    try:
        if worker.current is not None and worker.turn % 2:
            job, number = worker.current
            worker.send(_wire.progress(job, number, int(done), int(total)))
    finally:
        worker.role.release()


def _serve_tasks(tasks: Tasks) -> NoReturn:
    import os

    if os.isatty(0):
        sys.exit("this is a worker, which is started by an orchestrator: orchestrator run --worker '...' --task NAME")
    _serve.Worker(tasks).serve()
    raise AssertionError("a worker does not return")


def _load(name: str) -> None:
    """Imports a module of tasks, or one that is given by its file."""
    import importlib
    import os

    if name.endswith(".py"):
        folder, file = os.path.split(os.path.abspath(name))
        sys.path.insert(0, folder)
        name = file[:-3]
    importlib.import_module(name)


def _main() -> NoReturn:
    if len(sys.argv) < 2:
        sys.exit("usage: python3 -m orchestrator.worker MODULE [ARGUMENT]...")
    name = sys.argv[1]
    del sys.argv[0]
    _serve_tasks(Tasks(lambda: _load(name)))


if __name__ == "__main__":
    _main()
