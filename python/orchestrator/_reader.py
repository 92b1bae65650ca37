"""The thread that reads from an agent: it ends futures, keeps the window full, and notices the end."""

from __future__ import annotations

import select

from . import _agent, _ending, _payload, _segments, _wire, _work
from ._connection import Bye, Done, Output, Ready, Recalled
from ._parts import Violation

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from typing import Callable

    from ._agent import Agent
    from ._client import Client
    from ._connection import Event
    from ._work import Work

    _Ended = tuple[Work, int, "int | None", int, bytes]

_VALUES = (bytes((_payload.VALUE,)), bytes((_payload.VALUE | 0x80,)))


class Reader:
    """Reads until the link ends. What the client offers under its lock, it uses under the lock."""

    def __init__(self, client: Client, agent: Agent) -> None:
        self._client = client
        self._agent = agent
        self._connection = client.connection

    def run(self) -> None:
        """The thread's whole life."""
        with self._client.lock:
            if self._client.ended:
                return  # whoever has started it was interrupted, and has ended the pool
            self._client.reading = True
        reason = None
        try:
            self._read()
        except Violation as error:
            reason = f"the program {self._agent.process.program} is no agent for this package: {error}"
        except BaseException as error:
            reason = f"the reader failed: {type(error).__name__}: {error}"
            raise
        finally:
            self._finish(reason)

    def _read(self) -> None:
        link, connection, client = self._agent.link, self._connection, self._client
        waiter = select.poll()
        waiter.register(link, select.POLLIN | select.POLLOUT)
        while True:
            pending = connection.outgoing and connection.greeted
            if pending:
                waiter.poll()
                with client.lock:
                    client.write()
            try:
                data = link.recv(connection.wanted, _agent.MSG_DONTWAIT if pending else 0)
            except BlockingIOError:
                continue
            except OSError:
                return
            if not data or self._handle(data):
                return
            del data

    def _handle(self, data: bytes) -> bool:
        """Deals with what has arrived. Whether it was the last."""
        client = self._client
        ended: list[_Ended] = []
        others: list[Event] = []
        with client.lock:
            for event in self._connection.receive(data):
                if type(event) is Done:
                    self._take(event, ended)
                else:
                    others.append(event)
            if self._connection.outgoing:
                client.write()
        bye = False
        for event in others:
            if self._deal_with(event):
                bye = True
        if client.backlog.size:
            client.refill()  # first: workers may be waiting
        end = self._end
        for work, outcome, number, wall_us, payload in ended:
            try:
                end(work, outcome, number, wall_us, payload)
            except BaseException:
                _work.report()
        if client.settings.max_pending is not None:
            with client.space:
                client.space.notify_all()
        if client.backlog.size or client.shut or client.collected or _ending.is_exiting:
            client.refill()  # with it comes the end, if this was the last
        return bye

    def _take(self, event: Done, ended: list[_Ended]) -> None:
        """Takes jobs that were answered out of the flight, and fits the window to how long they took."""
        client = self._client
        flight = client.flight
        total = 0
        for job, outcome, number, wall_us, payload in event.answers:
            total += wall_us
            work = flight.pop(job, None)
            if work is not None:  # it is, unless the pool has broken meanwhile
                ended.append((work, outcome, number, wall_us, payload))
        if event.answers:
            client.window.learn(len(event.answers), total)

    def _deal_with(self, event: Event) -> bool:
        client = self._client
        if type(event) is Output:
            self._agent.print(event.stream, event.data)
        elif type(event) is Ready:
            client.begin(_payload.SEGMENTS in event.tasks)
        elif type(event) is Recalled:
            with client.lock:
                late = [client.flight.pop(job) for job in event.jobs if job in client.flight]
                cancelled = [work for work in late if work.job in client.cancelled]
                client.cancelled.difference_update(event.jobs)
                client.counts["cancelled"] += len(cancelled)
                client.counts["crashed"] += len(late) - len(cancelled)
            for work in late:
                work.release(False)
                work.resolve(work.end_cancelled if work in cancelled else work.end_late)
        return type(event) is Bye

    def _end(self, work: Work, outcome: int, number: int | None, wall_us: int, payload: bytes) -> None:
        """Ends the future of a job that was answered."""
        client = self._client
        counts = client.counts
        was_cancelled = False
        if client.cancelled:
            was_cancelled = work.job in client.cancelled
            client.cancelled.discard(work.job)
        if outcome == _wire.OK:
            if client.encoder.large_expected or len(payload) >= _segments.LARGE:
                client.encoder.saw_result(len(payload))
            counts["done" if payload[:1] in _VALUES else "failed"] += 1
            if not work.answer(client, payload, wall_us) and client.settings.break_on_crash:
                self._break()
            return
        work.release(False)
        if outcome == _wire.CANCELLED or was_cancelled:
            counts["cancelled"] += 1
            work.end_cancelled()
            return
        counts["crashed"] += 1
        error = _work.death(work, outcome, number, payload)
        if client.settings.break_on_crash and outcome != _wire.TIMED_OUT:
            self._break()
        work.fail(error)

    def _break(self) -> None:
        """The standard library's rule: one worker's death is the end of all jobs."""
        client = self._client
        with client.lock:
            if client.broken is not None:
                return
            client.broken = _ending.terminated
            lost = client.lose_all()
            self._agent.hang_up()
        self._lose(lost)

    def _lose(self, lost: list[Work]) -> None:
        client = self._client
        for lazy in list(client.maps):
            lazy.cancel()
        for work in lost:
            work.release(False)
            if not (work.running or work.job or work.begin()):
                continue
            if client.interrupted:
                work.resolve(work.end_cancelled)
            else:
                work.resolve(work.fail, _ending.loss(client))

    def _finish(self, reason: str | None) -> None:
        """The link has ended. It is known why once the process has been reaped."""
        client = self._client
        with client.lock:
            client.ended = True
        self._agent.hang_up()
        status = self._agent.reap()
        self._agent.close()
        with client.lock:
            lost = client.lose_all()
            orderly = client.draining and not lost and reason is None
            if not orderly and not client.terminated and client.broken is None:
                assert client.segments is not None
                client.broken = _ending.why(
                    reason, status, client.ready, self._connection, client.segments, self._agent, client.settings.initializer is not None
                )
        self._lose(lost)
        client.stop_watching()
        client.release_all()
        _ending.clients.discard(client)
