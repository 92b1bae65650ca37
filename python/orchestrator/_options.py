"""What can be asked of a pool and of each job."""

from __future__ import annotations


TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from typing import Any, Callable

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_MOST_MS = (1 << 63) - 1


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

    def replace(self, changes: dict[str, object]) -> JobOptions:
        """The same with some options changed; a `TypeError` names one that does not exist."""
        values = {name: getattr(self, name) for name in JobOptions.__slots__ if name != "wire"}
        for name in changes:
            if name not in values:
                raise TypeError(f"options() got an unexpected keyword argument '{name}'")
        return JobOptions(**{**values, **changes})


class Settings:
    """What a pool is made with; checked by the executor."""

    def __init__(
        self,
        workers: int,
        min_workers: int | None,
        idle_after: float | None,
        max_tasks_per_child: int | None,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        break_on_crash: bool,
        max_pending: int | None,
    ) -> None:
        self.workers = workers
        self.min_workers = min_workers
        self.idle_after = idle_after
        self.max_tasks_per_child = max_tasks_per_child
        self.initializer = initializer
        self.initargs = initargs
        self.break_on_crash = break_on_crash
        self.max_pending = max_pending


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
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds or None")
    if not value > 0:
        raise ValueError(f"{name} must be greater than 0")
    return None if value == float("inf") else float(value)


def _integer(name: str, value: int, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer")
    if not least <= value <= most:
        raise ValueError(f"{name} must be between {least} and {most}")
    return value
