"""Jobs that wait in the client: the highest priority first, within one priority first in, first out."""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from typing import Callable

    from ._work import Work


class Backlog:
    """A queue of jobs, mostly all of one priority. Its owner's lock guards it."""

    size: int
    """How many there are."""

    __slots__ = ("size", "_usual", "_others")

    def __init__(self) -> None:
        self.size = 0
        self._usual: deque[Work] = deque()  # of priority 0
        self._others: dict[int, deque[Work]] = {}  # none is empty

    def append(self, work: Work) -> None:
        priority = work.options.priority
        self.size += 1
        if priority == 0:
            self._usual.append(work)
        else:
            self._others.setdefault(priority, deque()).append(work)

    def recount(self) -> int:
        """Puts right what Ctrl-C has left in the middle of `append`. How many of them are said to be running."""
        queues = [self._usual, *self._others.values()]
        self.size = sum(map(len, queues))
        return sum(work.running for queue in queues for work in queue)

    def popleft(self) -> Work:
        self.size -= 1
        if not self._others:
            return self._usual.popleft()
        best = max(self._others)
        if best < 0 and self._usual:
            return self._usual.popleft()
        queue = self._others[best]
        work = queue.popleft()
        if not queue:
            del self._others[best]
        return work

    def remove(self, wanted: Callable[[Work], bool]) -> list[Work]:
        """Takes out all that are wanted."""
        found: list[Work] = []
        for priority, queue in [(0, self._usual), *self._others.items()]:
            here = [work for work in queue if wanted(work)]
            if not here:
                continue
            found += here
            left = [work for work in queue if not wanted(work)]
            queue.clear()
            queue.extend(left)
            if not queue and queue is not self._usual:
                del self._others[priority]
        self.size -= len(found)
        return found
