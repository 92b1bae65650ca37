"""What can be asked of a pool and of each job."""

from __future__ import annotations

import operator
import os


TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from typing import Any, Callable, TypedDict

    from typing_extensions import Unpack

    class Changes(TypedDict, total=False):
        """The options of jobs, as `options` takes them."""

        timeout: float | None
        queue_timeout: float | None
        retries: int
        memory: int | str | None
        priority: int

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_MOST_MS = (1 << 63) - 1
_MOST_WORKERS = (1 << 32) - 1


class JobOptions:
    """The options of a job, checked, and as the agent is told them. Jobs sent in one frame share one such object, so
    it is compared by identity and never changed."""

    __slots__ = ("timeout", "queue_timeout", "retries", "memory", "priority", "wire")

    wire: bytes | None
    """For `RunManyWith`; None when nothing but the usual is asked for."""

    def __init__(
        self,
        *,
        timeout: float | None = None,
        queue_timeout: float | None = None,
        retries: int = 0,
        memory: int | str | None = None,
        priority: int = 0,
    ) -> None:
        self.timeout = _seconds("timeout", timeout)
        self.queue_timeout = _seconds("queue_timeout", queue_timeout)
        self.retries = _integer("retries", retries, 0, (1 << 32) - 1)
        self.memory = None if memory is None else parse_size(memory)
        self.priority = _integer("priority", priority, -(1 << 31), (1 << 31) - 1)
        limit = None if self.timeout is None else max(1, min(round(self.timeout * 1000), _MOST_MS))
        usual = limit is None and not self.retries and self.memory is None and not self.priority
        self.wire = None
        if not usual:
            from . import _wire

            self.wire = _wire.job_options(
                time_limit_ms=limit, retries=self.retries, memory_limit=self.memory, priority=self.priority
            )

    def replace(self, **changes: Unpack[Changes]) -> JobOptions:
        """The same with some options changed; a `TypeError` names one that does not exist."""
        values: dict[str, Any] = {name: getattr(self, name) for name in JobOptions.__slots__ if name != "wire"}
        for name in changes:
            if name not in values:
                raise TypeError(f"options() got an unexpected keyword argument '{name}'")
        return JobOptions(**{**values, **changes})


class Settings:
    """What a pool is made with, checked."""

    __slots__ = (
        "workers", "min_workers", "idle_after", "max_tasks_per_child", "initializer", "initargs", "break_on_crash", "max_pending"
    )  # fmt: skip

    def __init__(self, **values: Any) -> None:
        self.workers: int = values["workers"]
        self.min_workers: int | None = values["min_workers"]
        self.idle_after: float | None = values["idle_after"]
        self.max_tasks_per_child: int | None = values["max_tasks_per_child"]
        self.initializer: Callable[..., object] | None = values["initializer"]
        self.initargs: tuple[Any, ...] = values["initargs"]
        self.break_on_crash: bool = values["break_on_crash"]
        self.max_pending: int | None = values["max_pending"]

    @staticmethod
    def checked(
        max_workers: int | None,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        max_tasks_per_child: int | None,
        min_workers: int | None,
        idle_after: float | None,
        on_crash: str = "fail-job",
        max_pending: int | None = None,
    ) -> Settings:
        """From the arguments of a pool's constructor. What the standard library has too is refused in its words."""
        workers = workers_of(max_workers)
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if max_tasks_per_child is not None:
            max_tasks_per_child = _index("max_tasks_per_child", max_tasks_per_child)
            if max_tasks_per_child <= 0:
                raise ValueError("max_tasks_per_child must be >= 1")
        if on_crash not in ("fail-job", "break"):
            raise ValueError("on_crash must be 'fail-job' or 'break'")
        return Settings(
            workers=workers,
            min_workers=None if min_workers is None else _integer("min_workers", min_workers, 0, workers),
            idle_after=_seconds("idle_after", idle_after),
            max_tasks_per_child=max_tasks_per_child,
            initializer=initializer,
            initargs=initargs,
            break_on_crash=on_crash == "break",
            max_pending=None if max_pending is None else _integer("max_pending", max_pending, 1, _MOST_MS),
        )


def workers_of(max_workers: int | None) -> int:
    """The number of workers that somebody has asked for; without an answer, one for each CPU."""
    if max_workers is None:
        return (getattr(os, "process_cpu_count", None) or os.cpu_count)() or 1
    number = _index("max_workers", max_workers)
    if number <= 0:
        raise ValueError("max_workers must be greater than 0")
    return min(number, _MOST_WORKERS)


def parse_size(size: int | str) -> int:
    """Bytes; text is a number with K, M, G or T (powers of 1024), as on the command line.

    >>> parse_size("2G") == 2 * 1024**3
    True
    """
    if isinstance(size, str):
        number, unit = size.strip().upper(), ""
        if number[-1:] in _UNITS:
            number, unit = number[:-1], number[-1:]
        try:
            size = int(number) * _UNITS[unit]
        except ValueError:
            raise ValueError(f"memory must be a number of bytes, or one with K, M, G or T, not {size!r}") from None
    return _integer("memory", size, 1, (1 << 63) - 1)


def _seconds(name: str, value: float | None) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise TypeError(f"{name} must be a number of seconds or None, not {value!r}")
    value = float(value)
    if not value > 0:
        raise ValueError(f"{name} must be greater than 0")
    return None if value == float("inf") else value


def _integer(name: str, value: int, least: int, most: int) -> int:
    value = _index(name, value)
    if not least <= value <= most:
        raise ValueError(f"{name} must be between {least} and {most}")
    return value


def _index(name: str, value: int) -> int:
    """An integer, also one of numpy's."""
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise TypeError(f"{name} must be an integer, not {value!r}")
