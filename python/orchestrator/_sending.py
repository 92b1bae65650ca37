"""How a client's jobs get to the agent: pickled outside of the lock, written as far as the socket takes them."""

from __future__ import annotations

import select
import threading

from . import _agent, _ending

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from typing import Callable, Sequence

    from ._backlog import Backlog
    from ._connection import Connection
    from ._encoder import Encoder
    from ._options import JobOptions
    from ._run_file import RunFile
    from ._window import Window
    from ._work import Work

_AT_ONCE = 64
"""Jobs that are pickled before those among them that are ready are sent."""
_MOST_PIECES = 64
_ONCE = (_agent.WRITE,)


class Sending:
    """What a `Client` has for it."""

    lock: threading.Lock
    space: threading.Condition
    backlog: Backlog
    flight: dict[int, Work]
    window: Window
    agent: _agent.Agent | None
    connection: Connection
    run_file: RunFile | None
    thread: threading.Thread | None
    counts: dict[str, int]
    broken: Callable[[], BaseException] | None
    encoder: Encoder
    ready: bool
    ended: bool
    _ahead: int
    _bounded: bool
    _handing: Sequence[Work]
    _next_job: int

    def end_if_idle(self) -> None:
        raise NotImplementedError

    # ---- Under the lock

    def _room(self) -> int:
        if self.run_file is not None and self.run_file.is_full():
            return 0
        return self.window.size - len(self.flight) - len(self._handing) if self.ready else 0

    def _launch(self, jobs: Sequence[tuple[Work, bytes]], options: JobOptions) -> None:
        """Enters jobs (work, data) with the same options, and sends them."""
        entries = []
        for work, data in jobs:
            number = self._next_job
            self._next_job = number + 1  # first: after Ctrl-C in between, no two have the same
            work.job = number
            self.flight[number] = work
            entries.append((work.job, data))
        self.connection.run(entries, options.wire)

    def write(self) -> None:
        """Writes as much as the socket takes."""
        connection, agent = self.connection, self.agent
        outgoing = connection.outgoing
        if not connection.greeted or agent is None:
            return
        sent: list[int] = []
        first, pieces = None, 0
        try:
            while outgoing:
                sent.clear()
                first, pieces = outgoing[0], len(outgoing)
                # To send, and to know how much: one step, in which no signal's handler can raise.
                if pieces == 1:
                    sent.extend(map(agent.link.send, outgoing, _ONCE))
                else:
                    sent.extend(map(agent.link.sendmsg, (outgoing[:_MOST_PIECES],), ((),), _ONCE))
                connection.wrote(sent[0])
        except BlockingIOError:
            pass
        except OSError:
            outgoing.clear()  # it has gone; the reader reads that
        except BaseException:  # Ctrl-C
            if sent and len(outgoing) == pieces and outgoing[0] is first:
                connection.wrote(sent[0])
            raise

    # ---- Writing, outside of the lock

    def push(self) -> None:
        """Waits until everything is written: the reader may be waiting for something to read, and would not do it."""
        if threading.current_thread() is self.thread:
            return  # it looks before it reads
        while self.connection.outgoing and self.connection.greeted:
            agent = self.agent
            if agent is None or self.ended or agent.link.fileno() < 0:
                return
            waiter = select.poll()
            try:
                waiter.register(agent.link, select.POLLOUT)
            except ValueError:
                return  # it has just been closed
            waiter.poll(100)
            with self.lock:
                self.write()

    def wake(self) -> None:
        """Sees to it that jobs of the backlog are handed over if there is room now, and that the pool ends if that was all it
        waited for."""
        with self.lock:
            if self.backlog.size:
                self._nudge()
            else:
                self.end_if_idle()
        if self.agent is not None and self.connection.outgoing:
            self.push()

    def _nudge(self) -> None:
        """Under the lock: if there is room for jobs of the backlog, asks for a sign of life. When it comes, the reader hands
        them over. Nobody else does: Ctrl-C may come between any two steps of the main thread, and would leave jobs of which
        nobody knows how far they have come."""
        if self._room() > 0 and threading.current_thread() is not self.thread:
            self.connection.ping()
            self.write()

    # ---- By the reader

    def refill(self) -> None:
        """Hands over jobs of the backlog while the window has room."""
        while True:
            with self.lock:
                works: list[Work] = []
                self._handing = works
                while self.backlog.size and self._room() > 0 and len(works) < _AT_ONCE:
                    work = self.backlog.popleft()
                    if work.running:
                        self._ahead -= 1
                    works.append(work)
                if not works:
                    self.end_if_idle()
                    return
            self._send(works)

    def _send(self, works: list[Work]) -> None:
        jobs: list[tuple[Work, bytes]] = []
        failed: list[tuple[Work, BaseException]] = []
        cancelled = 0
        for work in works:
            if not work.running:
                if not work.begin():
                    cancelled += 1
                    work.release(True)
                    continue
                work.running = True
            try:
                data = work.encode(self) if work.data is None else work.data
                jobs.append((work, data))
                work.data = None
            except BaseException as raised:
                failed.append((work, raised))
        with self.lock:
            self._handing = ()
            self.counts["cancelled"] += cancelled
            self.counts["failed"] += len(failed)
            if self.ended or self.broken is not None:
                lost, jobs = [work for work, _ in jobs], []
            else:
                lost = []
            at = 0
            while at < len(jobs):
                options, end = jobs[at][0].options, at + 1
                while end < len(jobs) and jobs[end][0].options is options:
                    end += 1
                self._launch(jobs[at:end], options)
                at = end
            self.write()
            if self._bounded:
                self.space.notify_all()
        for work, error in failed:
            work.release(True)
            work.resolve(work.fail_pickling, error)
        for work in lost:
            work.release(True)
            work.resolve(work.fail, _ending.loss(self))
