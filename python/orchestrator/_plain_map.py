"""`map` of a subclass that overrides `submit`: each item goes through that, as in all executors of the standard library."""

from __future__ import annotations

import time
from collections import deque
from itertools import islice

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Iterator

    from concurrent.futures import Future


def plain_map(
    submit: Callable[..., Future[Any]],
    fn: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    end_time: float | None,
    buffersize: int | None,
) -> Iterator[Any]:
    """The results in order. All inputs are read now, or `buffersize` of them: what is read later might find a pool that has
    been shut down."""
    inputs = zip(*iterables)
    futures = deque(submit(fn, *item) for item in islice(inputs, buffersize))
    return _results(submit, fn, iter(()) if buffersize is None else inputs, futures, end_time)


def _results(
    submit: Callable[..., Future[Any]],
    fn: Callable[..., Any],
    inputs: Iterator[tuple[Any, ...]],
    futures: deque[Future[Any]],
    end_time: float | None,
) -> Iterator[Any]:
    try:
        while futures:
            futures.extend(submit(fn, *item) for item in islice(inputs, 1))
            yield _result_of(futures.popleft(), end_time)
    finally:
        for future in futures:
            future.cancel()


def _result_of(future: Future[Any], end_time: float | None) -> Any:
    """The result, of which nothing is kept here."""
    try:
        return future.result(None if end_time is None else end_time - time.monotonic())
    finally:
        future.cancel()
        del future
