"""How many jobs a client sends ahead."""

from __future__ import annotations

_DEEPEST = 64
"""The most jobs per worker that are sent ahead."""
_AHEAD_US = 2000
"""How much work a worker is sent ahead. Jobs that take longer are not sent ahead, but for one as in the standard library."""


class Window:
    """The number of jobs that may be with the agent: one more than the workers, as in the standard library, and more while
    jobs are so short that the workers would wait for the link.

    >>> window = Window(2)
    >>> window.size
    3
    >>> window.learn(jobs=3, wall_us=30); window.size  # it grows by steps
    6
    >>> window.learn(jobs=1, wall_us=1_000_000); window.size
    3
    """

    __slots__ = ("size", "workers")

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.size = workers + 1

    def learn(self, jobs: int, wall_us: int) -> None:
        """Tells how long some jobs, at least one, have taken in all."""
        depth = min(_DEEPEST, int(_AHEAD_US / (wall_us / jobs + 1)))
        fitting = self.workers * (1 + depth) if depth else self.workers + 1
        self.size = min(fitting, self.size * 2)

    def resize(self, workers: int) -> None:
        """Tells the number of workers."""
        self.workers = workers
        self.size = max(self.size, workers + 1)
