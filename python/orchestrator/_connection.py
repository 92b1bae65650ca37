"""One link to an agent, as a value: bytes in, events out; calls in, bytes out.

`Connection` knows the protocol (docs/protocol.md) and nothing else: it does not read, write, wait, lock or look at a
clock, so that threads and an event loop can both drive it. What arrives goes to `receive`; every call that has something
to say appends to `outgoing`, from which the owner, once `greeted`, writes as much as the socket takes, and tells `wrote`.

The client's pairs all have attempt 1: the agent counts its own.
"""

from __future__ import annotations

import struct

from . import _wire
from ._parts import Violation
from ._wire import MAX_CHUNK

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from typing import Sequence, Union

    Buffer = Union[bytes, memoryview]
    Answer = tuple[int, int, Union[int, None], int, bytes]
    Event = Union["Ready", "Done", "Output", "Recalled", "Bye"]


ATTEMPT = 1
_BATCH_BYTES = 64 * 1024
"""Inputs that share a frame: more would keep the agent waiting for its first job, and gains nothing."""
_ONE_JOB = struct.Struct("<2sBBIIQQIIIQI")
"""The header of a frame and the control part of a RunMany with one entry."""
_ONE_JOB_CONTROL = _ONE_JOB.size - 12
_NUMBERED = (_wire.FAILED, _wire.SIGNALED, _wire.SPAWN_ERROR)


class Ready:
    """The first worker is ready; jobs may be sent."""

    __slots__ = ("slots", "tasks")

    def __init__(self, slots: int, tasks: list[str]) -> None:
        self.slots = slots
        self.tasks = tasks


class Done:
    """Jobs have ended: (job, outcome, its number, microseconds, payload) of each."""

    __slots__ = ("answers",)

    def __init__(self, answers: list[Answer]) -> None:
        self.answers = answers


class Output:
    """A job, or with job 0 nobody known, has printed something."""

    __slots__ = ("job", "stream", "data")

    def __init__(self, job: int, stream: int, data: bytes) -> None:
        self.job = job
        self.stream = stream
        self.data = data


class Recalled:
    """Of the jobs of the oldest open `recall`, these have not started and never will."""

    __slots__ = ("jobs",)

    def __init__(self, jobs: list[int]) -> None:
        self.jobs = jobs


class Bye:
    """Nothing more will come."""

    __slots__ = ()


class WrongVersion(Violation):
    """The program at the other end speaks another version of the protocol."""


class _Input:
    """A large input, of which a part has not been sent."""

    __slots__ = ("rest", "credit")

    def __init__(self, rest: memoryview) -> None:
        self.rest = rest
        self.credit = _wire.CREDIT


class Connection:
    """The protocol state of one link. `hello` and `init` follow by themselves once the greeting has come."""

    def __init__(self, build: str, init: bytes | None = None, link: int = _wire.LOCAL) -> None:
        self.outgoing: list[Buffer] = []
        self.greeted = False
        """The agent may be written to."""
        self.wanted = 1 << 16
        """How many bytes `receive` would like to be given, at most."""
        self._hello = _wire.hello(build, 1, link, (1 << 63) - 1, init is not None)
        if init is not None:
            self._hello += _wire.init(init)
        self._preamble = b""
        self._reader = _wire.FrameReader()
        self._remote = link == _wire.REMOTE
        self._answered = 0
        self._inputs: dict[int, _Input] = {}
        self._results: dict[int, list[bytes]] = {}
        self._held: set[int] = set()
        self._recalls = 0

    # ---- Calls in

    def run(self, jobs: Sequence[tuple[int, bytes]], options: bytes | None = None) -> None:
        """Sends jobs (number, input), all with the same options; `options` is from `_wire.job_options`."""
        if len(jobs) == 1 and options is None and len(jobs[0][1]) <= MAX_CHUNK:
            ((job, data),) = jobs
            size = len(data)
            self._held.add(job)
            head = _ONE_JOB.pack(
                b"\xb1\x0f", _wire.RUN_MANY, 0, _ONE_JOB_CONTROL, size, 1, job, ATTEMPT, 0, _wire.RAW, size, size
            )
            self.outgoing.append(b"".join((head, data, b"\n")))
            return
        headers: list[bytes] = []
        parts: list[Buffer] = []
        long: list[tuple[int, bytes]] = []
        total = 0
        for job, data in jobs:
            first: Buffer = data if len(data) <= MAX_CHUNK else memoryview(data)[:MAX_CHUNK]
            if headers and total + len(first) > _BATCH_BYTES:
                self._assign(headers, parts, long, options)
                headers, parts, long, total = [], [], [], 0
            self._held.add(job)
            headers.append(_wire.JOB_ENTRY.pack(job, ATTEMPT, 0, _wire.RAW, len(data), len(first)))
            parts.append(first)
            total += len(first)
            if first is not data:
                long.append((job, data))
        if headers:
            self._assign(headers, parts, long, options)

    def _assign(
        self, headers: list[bytes], parts: list[Buffer], long: list[tuple[int, bytes]], options: bytes | None
    ) -> None:
        frame = (
            _wire.run_many(headers, parts) if options is None else _wire.run_many_with(options, headers, parts)
        )
        self.outgoing.append(frame)
        for job, data in long:
            self._inputs[job] = _Input(memoryview(data)[MAX_CHUNK:])
            self._send_chunks(job)

    def blob(self, number: int, data: bytes) -> None:
        """Hands over a function, before the first job that needs it."""
        self.outgoing.append(_wire.blob(number, data))

    def cancel(self, job: int) -> None:
        self.outgoing.append(_wire.cancel(job, ATTEMPT))

    def recall(self, jobs: Sequence[int]) -> None:
        """Asks for those that have not started; a `Recalled` answers."""
        self._recalls += 1
        self.outgoing.append(_wire.recall([(job, ATTEMPT) for job in jobs]))

    def ping(self) -> None:
        """Asks for a sign of life, which is no event, but something to `receive`."""
        self.outgoing.append(_wire.ping(0))

    def resize(self, workers: int) -> None:
        self.outgoing.append(_wire.resize(workers))

    def drain(self) -> None:
        """No job follows; the agent leaves when all have ended."""
        self.outgoing.append(_wire.drain())

    def bye(self) -> None:
        """Everything ends now. What had not been written is not any more, as far as frames allow."""
        self.outgoing.append(_wire.bye())

    def wrote(self, count: int) -> None:
        """So many bytes of `outgoing` are gone."""
        outgoing = self.outgoing
        done = 0
        while done < len(outgoing) and count >= len(outgoing[done]):
            count -= len(outgoing[done])
            done += 1
        # In one step, as Ctrl-C may come between two.
        if count:
            outgoing[: done + 1] = [memoryview(outgoing[done])[count:]]
        else:
            del outgoing[:done]

    # ---- Bytes in

    def receive(self, data: bytes) -> list[Event]:
        """What these bytes say. Raises `Violation` when the other side is no agent that we could speak with."""
        events: list[Event] = []
        if not self.greeted:
            data = self._greet(data)
            if not data:
                return events
        answers: list[Answer] | None = None
        for kind, control, payload in self._reader.feed(data):
            if kind == _wire.DONE_MANY:
                if answers is None:
                    answers = []
                    events.append(Done(answers))
                self._take_answers(control, payload, answers)
            elif kind == _wire.RESULT_CHUNK:
                self._take_chunk(control, payload)
            else:
                event = self._take(kind, control, payload)
                if event is not None:
                    events.append(event)
                    answers = None  # what comes behind it is to stay behind it
        return events

    def said_instead(self) -> str:
        """What has come from a program that did not greet: the beginning, in one line."""
        return b" ".join(self._preamble[:200].split()).decode("utf-8", "replace")

    def _greet(self, data: bytes) -> bytes:
        received = self._preamble + data
        found = _wire.find_greeting(received)
        if found is None:
            if len(received) > _wire.MAX_PREAMBLE:
                raise Violation("the program is no agent: it said %r" % received[:60])
            self._preamble = received
            return b""
        version, at = found
        if version != _wire.VERSION:
            raise WrongVersion("it speaks protocol version %d, this package %d" % (version, _wire.VERSION))
        self.greeted = True
        self.outgoing.insert(0, self._hello)
        return received[at:]

    def _take_answers(
        self, control: bytes, payload: bytes, answers: list[Answer]
    ) -> None:
        if self._remote:
            self._answered += 1
            self.outgoing.append(_wire.ack(self._answered))
        held, results = self._held, self._results
        (count,) = struct.unpack_from("<Q", control) if len(control) >= 8 else (-1,)
        at = 0
        if len(control) == 8 + count * 56:  # no outcome has a number
            for job, _, outcome, wall, _, _, _, _, length in _wire.DONE_ENTRY.iter_unpack(control[8:]):
                if job not in held or outcome > _wire.LOST or outcome in _NUMBERED:
                    raise Violation("an answer for a job that is not held, or with an unknown outcome")
                held.discard(job)
                data = payload[at : at + length]
                at += length
                if results and job in results:
                    data = self._joined(job, data, outcome)
                answers.append((job, outcome, None, wall, data))
            if at != len(payload):
                raise Violation("the results do not add up")
        else:
            for job, _, outcome, number, usage, length in _wire.parse_done_many(control, payload):
                if job not in held:
                    raise Violation("an answer for a job that is not held")
                held.discard(job)
                data = payload[at : at + length]
                at += length
                answers.append((job, outcome, number, usage[0], self._joined(job, data, outcome)))
        if self._inputs:
            for job in self._inputs.keys() - held:
                del self._inputs[job]

    def _joined(self, job: int, last: bytes, outcome: int) -> bytes:
        parts = self._results.pop(job, None)
        if parts is None or outcome != _wire.OK:
            return last
        parts.append(last)
        return b"".join(parts)

    def _take_chunk(self, control: bytes, payload: bytes) -> None:
        job, _ = _wire.parse_pair(control)
        if job in self._held:
            self._results.setdefault(job, []).append(payload)
            self.wanted = 1 << 20
            self.outgoing.append(_wire.result_credit(job, ATTEMPT, 1))

    def _take(self, kind: int, control: bytes, payload: bytes) -> Event | None:
        if kind == _wire.OUTPUT:
            job, _, stream = _wire.parse_output(control)
            return Output(job, stream, payload)
        if kind == _wire.INPUT_CREDIT:
            job, _, chunks = _wire.parse_credit(control)
            if job in self._inputs:
                self._inputs[job].credit += chunks
                self._send_chunks(job)
            return None
        if kind == _wire.RECALLED:
            if self._recalls == 0:
                raise Violation("an answer to a recall that was not made")
            self._recalls -= 1
            jobs = [job for job, _ in _wire.parse_pairs(control)]
            for job in jobs:
                self._held.discard(job)
                self._inputs.pop(job, None)
            return Recalled(jobs)
        if kind == _wire.READY:
            _, _, slots, tasks, _ = _wire.parse_ready(control)
            return Ready(slots, tasks)
        if kind == _wire.WORKER_BYE:
            return Bye()
        if kind in (_wire.STARTED, _wire.PROGRESS, _wire.OMITTED, _wire.PONG, _wire.WORKER_ACK):
            return None
        raise Violation("message %#04x is unknown" % kind)

    def _send_chunks(self, job: int) -> None:
        """Sends as much of a large input as its credit allows, without copying it."""
        unsent = self._inputs[job]
        while unsent.credit and unsent.rest:
            chunk = unsent.rest[:MAX_CHUNK]
            head = struct.pack("<2sBBIIQI", b"\xb1\x0f", _wire.INPUT_CHUNK, 0, 12, len(chunk), job, ATTEMPT)
            self.outgoing += (head, chunk, b"\n")
            unsent.rest = unsent.rest[MAX_CHUNK:]
            unsent.credit -= 1
        if not unsent.rest:
            del self._inputs[job]
