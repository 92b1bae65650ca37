"""Jobs that must have started by some time: `queue_timeout`.

A thread of its own, begun with the first such job, so that the reader can wait for the link alone.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from ._client import Client
    from ._work import Work

_AGAIN_S = 0.005


class Deadlines:
    """The deadlines of one client's jobs."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int, Work]] = []
        self._numbers = itertools.count()  # works have no order
        self._stopped = False
        self._most = 64
        self._thread: threading.Thread | None = None

    def watch(self, work: Work, seconds: float) -> None:
        """Ends the job if it has not started in time."""
        with self._changed:
            if len(self._waiting) >= self._most:  # those that have ended would keep their results
                self._waiting = [entry for entry in self._waiting if not entry[2].future.done()]
                heapq.heapify(self._waiting)
                self._most = max(64, 2 * len(self._waiting))
            heapq.heappush(self._waiting, (time.monotonic() + seconds, next(self._numbers), work))
            self._changed.notify()
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(target=self._run, name="orchestrator-deadlines", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """The client has ended, and with it all jobs."""
        with self._changed:
            self._stopped = True
            self._waiting.clear()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            due: list[Work] = []
            with self._changed:
                while not due:
                    if self._stopped:
                        return
                    now = time.monotonic()
                    while self._waiting and self._waiting[0][0] <= now:
                        due.append(heapq.heappop(self._waiting)[2])
                    if not due:
                        self._changed.wait(min(self._waiting[0][0] - now, 3600.0) if self._waiting else None)
            for work in due:
                if not self._client.expire(work):
                    self.watch(work, _AGAIN_S)  # just between the backlog and the agent
            due.clear()
