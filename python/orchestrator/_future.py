"""Futures whose lock Ctrl-C does not leave locked."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from operator import attrgetter

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from typing import Any


class _Condition(threading.Condition):
    """The standard library's, entered and left without a step of Python.

    Its own `__enter__` is one. Ctrl-C at its end comes after the lock was taken and before the `with` statement has begun,
    which would have given it back. Whoever sets the future's result then waits for ever: the reader, and with it the pool.
    """

    __enter__ = property(attrgetter("_lock.__enter__"))  # type: ignore[assignment]
    __exit__ = property(attrgetter("_lock.__exit__"))  # type: ignore[assignment]

    def wait(self, timeout: float | None = None) -> bool:
        try:
            return super().wait(timeout)
        except BaseException:
            # Between giving the lock back and waiting, or behind that: then it is not ours, and the `with` statement around
            # this would raise something else.
            if not self._is_owned():  # type: ignore[attr-defined]
                self._lock.acquire()  # type: ignore[attr-defined]
            raise


def new_future() -> Future[Any]:
    """A future as `concurrent.futures` has them, but for that."""
    future: Future[Any] = Future()
    future._condition.__class__ = _Condition
    return future
