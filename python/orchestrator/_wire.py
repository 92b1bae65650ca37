"""Frames and control parts of the worker protocol (docs/protocol.md), for both directions.

Nothing here reads, writes or waits. An encoder is named after its message and gives a whole frame, `parse_...` takes the
control part of one, and `FrameReader` cuts what arrives into frames. Both sides are in one file, so that a layout is
written down once. What the peer got wrong is a `Violation`, whatever it is.

This is imported in every worker's start: only `struct`, which the interpreter has built in.
"""

import struct

from orchestrator._parts import U64, Parts, Violation, exactly, list_of, optional, string

VERSION = 7
MAX_FRAME = 1 << 20
MAX_CHUNK = 256 * 1024
CREDIT = 4
MAX_PREAMBLE = 1 << 16

# To a worker.
HELLO, INIT, BLOB, RUN_MANY, INPUT_CHUNK, RESULT_CREDIT, CANCEL, RECALL, PAUSE = range(0x01, 0x0A)
RESUME, DRAIN, PING, ACK, BYE, WIND_DOWN, RUN_MANY_WITH, RESIZE = range(0x0A, 0x12)
# From a worker.
READY, STARTED, OUTPUT, RESULT_CHUNK, DONE_MANY, INPUT_CREDIT, RECALLED, PROGRESS = range(0x81, 0x89)
PONG, WORKER_ACK, WORKER_BYE, OMITTED = range(0x89, 0x8D)

LOCAL, REMOTE = 0, 1
BINCODE, JSON, RAW = 0, 1, 2
STDOUT, STDERR = 0, 1
OK, FAILED, SIGNALED, TIMED_OUT, SPAWN_ERROR, REJECTED, CANCELLED, OUTPUT_LIMIT = range(8)
CRASHED, OOM, QUARANTINED, UNKILLABLE, LOST = range(8, 13)  # only an agent sends these
ERROR, PANIC, UNENCODABLE, TOO_LARGE, UNKNOWN_TASK, UNDECODABLE = range(6)  # TaskErrorKind

NO_USAGE = (0, 0, 0, 0, 0)  # wall_us, user_us, system_us, max_rss_kib, leaked

_MAGIC = b"\xb1\x0f"
_HEADER = struct.Struct("<2sBBII")
_PAIR = struct.Struct("<QI")
_PAIR_AND_NUMBER = struct.Struct("<QII")
_U32 = struct.Struct("<I")
_BLOB = struct.Struct("<QB")
_PROGRESS = struct.Struct("<QIQQ")
_OMITTED = struct.Struct("<QIIQ")
_OUTCOME = struct.Struct("<QIIi")
_USAGE = struct.Struct("<QQQQII")  # and the length of the payload's part
JOB_ENTRY = struct.Struct("<QIIIQI")
"""One entry of RunMany: job, attempt, task, encoding, input_len, length of its part of the payload."""
DONE_ENTRY = struct.Struct("<QIIQQQQII")
"""One entry of DoneMany whose outcome has no number: job, attempt, outcome, the usage (5), length of its part."""

_WITH_NUMBER = frozenset((FAILED, SIGNALED, SPAWN_ERROR))
_WITH_PAYLOAD = frozenset((INIT, BLOB, RUN_MANY, INPUT_CHUNK, RUN_MANY_WITH, OUTPUT, RESULT_CHUNK, DONE_MANY))
_EMPTY = frozenset((INIT, PAUSE, RESUME, DRAIN, BYE, WIND_DOWN, WORKER_BYE))


# ---- Greeting and frames


def greeting():
    """The first bytes that a worker writes."""
    return b"orchestrator-worker protocol %d\n" % VERSION


def find_greeting(received):
    """The version and where the frames begin, or None: not there (yet). More than MAX_PREAMBLE bytes without one are
    no worker."""
    import re  # only a client comes here

    found = re.search(rb"orchestrator-worker protocol (\d{1,10})\r?\n", received)
    return (int(found.group(1)), found.end()) if found else None


def frame(kind, control=b"", payload=b""):
    """Any frame, as bytes."""
    return b"".join((_HEADER.pack(_MAGIC, kind, 0, len(control), len(payload)), control, payload, b"\n"))


class FrameReader:
    """Cuts what arrives into frames. A frame may come in any number of pieces, and a piece may hold any number."""

    __slots__ = ("_pieces", "_length", "_needed")

    def __init__(self, received=b""):
        self._pieces = [received] if received else []  # of a frame that is not complete
        self._length = len(received)
        self._needed = 0  # nothing can be done with fewer bytes

    def wanted(self, usual):
        """How many bytes to read next: `usual`, or more when a large frame has begun."""
        return max(usual, self._needed - self._length)

    def feed(self, received):
        """The frames that are complete now, each (kind, control part, payload)."""
        if self._pieces:
            self._pieces.append(received)
            self._length += len(received)
            if self._length < self._needed:
                return []
            received = b"".join(self._pieces)
        frames, at, size = [], 0, len(received)
        needed = 12
        while size - at >= 12:
            magic, kind, zero, control_len, payload_len = _HEADER.unpack_from(received, at)
            if magic != _MAGIC or zero:
                raise Violation("expected a frame, found %r" % received[at : at + 60])
            needed = 13 + control_len + payload_len
            if needed > MAX_FRAME:
                raise Violation("frame of %d bytes is larger than the limit of %d" % (needed, MAX_FRAME))
            if size - at < needed:
                break
            middle, at = at + 12 + control_len, at + needed
            if received[at - 1] != 0x0A:
                raise Violation("frame does not end with a line feed")
            if payload_len and kind not in _WITH_PAYLOAD or control_len and kind in _EMPTY:
                raise Violation("message %#04x carries what it must not" % kind)
            frames.append((kind, received[middle - control_len : middle], received[middle : at - 1]))
            needed = 12
        rest = received[at:]
        if rest and (rest[:2] != _MAGIC[: len(rest)] or rest[3:4] not in (b"", b"\0")):
            raise Violation("expected a frame, found %r" % rest[:60])
        self._pieces = [rest] if rest else []
        self._length, self._needed = len(rest), needed
        return frames


# ---- Messages to a worker


def hello(build, worker, link, max_payload, init):
    return frame(HELLO, string(build) + struct.pack("<IIQB", worker, link, max_payload, init))


def parse_hello(control):
    """(build, worker, link, max_payload, init)"""
    parts = Parts(control)
    message = parts.string(), parts.take("<I"), parts.variant(2), parts.take("<Q"), parts.flag()
    parts.end()
    return message


def init(data):
    return frame(INIT, b"", data)


def blob(number, data):
    """The frames of a whole blob."""
    view, frames = memoryview(data), []
    for at in range(0, len(data) or 1, MAX_CHUNK):
        frames.append(frame(BLOB, _BLOB.pack(number, at + MAX_CHUNK < len(data)), bytes(view[at : at + MAX_CHUNK])))
    return b"".join(frames)


def parse_blob(control):
    """(hash, more)"""
    number, more = exactly(_BLOB, control)
    if more > 1:
        raise Violation("a bool is neither 0 nor 1")
    return number, more == 1


def run_many(headers, parts):
    """`headers`: one `JOB_ENTRY.pack(...)` per job; `parts`: their parts of the payload, in the same order. The sender
    sees to it that the frame is not too large."""
    return frame(RUN_MANY, U64.pack(len(headers)) + b"".join(headers), b"".join(parts))


def run_many_with(options, headers, parts):
    """As `run_many`, with `options` from `job_options`."""
    return frame(RUN_MANY_WITH, b"".join((options, U64.pack(len(headers)), *headers)), b"".join(parts))


def job_options(time_limit_ms=None, grace_ms=0, retries=0, memory_limit=None, priority=0):
    """What holds for all jobs of one RunManyWith."""
    return b"".join(
        (
            optional("<Q", time_limit_ms),
            struct.pack("<QI", grace_ms, retries),
            optional("<Q", memory_limit),
            struct.pack("<i", priority),
        )
    )


def parse_run_many(control, payload):
    """Entries (job, attempt, task, encoding, input_len, length), checked as a whole; cut the payload by the lengths."""
    entries = list_of(JOB_ENTRY, control)
    _check_jobs(entries, payload)
    return entries


def parse_run_many_with(control, payload):
    """((time_limit_ms, grace_ms, retries, memory_limit, priority), entries as of `parse_run_many`)"""
    parts = Parts(control)
    options = parts.optional("<Q"), parts.take("<Q"), parts.take("<I"), parts.optional("<Q"), parts.take("<i")
    entries = list_of(JOB_ENTRY, control, parts.at)
    _check_jobs(entries, payload)
    return options, entries


def _check_jobs(entries, payload):
    total = 0
    for job, _attempt, _task, encoding, input_len, length in entries:
        if job == 0 or encoding > RAW or length > input_len:
            raise Violation("job %d cannot be assigned" % job)
        total += length
    if total != len(payload):
        raise Violation("the inputs do not add up")


def input_chunk(job, attempt, data):
    return frame(INPUT_CHUNK, _PAIR.pack(job, attempt), data)


def result_credit(job, attempt, chunks):
    return frame(RESULT_CREDIT, _PAIR_AND_NUMBER.pack(job, attempt, chunks))


def cancel(job, attempt):
    return frame(CANCEL, _PAIR.pack(job, attempt))


def recall(pairs):
    return frame(RECALL, U64.pack(len(pairs)) + b"".join(_PAIR.pack(*pair) for pair in pairs))


def pause():
    return frame(PAUSE)


def resume():
    return frame(RESUME)


def drain():
    return frame(DRAIN)


def ping(number):
    return frame(PING, U64.pack(number))


def ack(number):
    return frame(ACK, U64.pack(number))


def bye():
    return frame(BYE)


def wind_down():
    return frame(WIND_DOWN)


def resize(slots):
    return frame(RESIZE, _U32.pack(slots))


# ---- Messages from a worker


def ready(build, pid, slots, tasks, status_fd=None):
    names = b"".join(string(name) for name in tasks)
    control = struct.pack("<IIQ", pid, slots, len(tasks)) + names + optional("<i", status_fd)
    return frame(READY, string(build) + control)


def parse_ready(control):
    """(build, pid, slots, tasks, status_fd)"""
    parts = Parts(control)
    message = parts.string(), parts.take("<I"), parts.take("<I"), parts.strings(), parts.optional("<i")
    parts.end()
    if message[2] == 0:
        raise Violation("a worker without slots")
    return message


def started(job, attempt):
    return frame(STARTED, _PAIR.pack(job, attempt))


def output(job, attempt, stream, data):
    return frame(OUTPUT, _PAIR_AND_NUMBER.pack(job, attempt, stream), data)


def parse_output(control):
    """(job, attempt, stream)"""
    job, attempt, stream = exactly(_PAIR_AND_NUMBER, control)
    if stream > STDERR:
        raise Violation("no such stream: %d" % stream)
    return job, attempt, stream


def result_chunk(job, attempt, data):
    return frame(RESULT_CHUNK, _PAIR.pack(job, attempt), data)


def done_entry(job, attempt, outcome, number, usage, length):
    """One entry of DoneMany with any outcome; `number` only where the outcome has one."""
    if outcome in _WITH_NUMBER:
        return _OUTCOME.pack(job, attempt, outcome, number) + _USAGE.pack(*usage, length)
    return DONE_ENTRY.pack(job, attempt, outcome, *usage, length)


def done_many(entries, parts):
    """`entries`: from `DONE_ENTRY.pack` or `done_entry`; `parts`: their parts of the payload."""
    return frame(DONE_MANY, U64.pack(len(entries)) + b"".join(entries), b"".join(parts))


def parse_done_many(control, payload):
    """Answers (job, attempt, outcome, number or None, usage, length); cut the payload by the lengths."""
    if len(control) < 8:
        raise Violation("a control part ends early")
    (count,) = U64.unpack_from(control)
    # An entry with a number is longer than one without: this length says that no outcome has one.
    if len(control) == 8 + count * DONE_ENTRY.size:
        answers = [
            (job, attempt, outcome, None, (wall, user, system, rss, leaked), length)
            for job, attempt, outcome, wall, user, system, rss, leaked, length in DONE_ENTRY.iter_unpack(control[8:])
        ]
        if any(answer[2] > LOST or answer[2] in _WITH_NUMBER for answer in answers):
            raise Violation("no such outcome")
    else:
        answers = _parse_mixed_answers(control, count)
    if sum([answer[5] for answer in answers]) != len(payload):
        raise Violation("the results do not add up")
    return answers


def _parse_mixed_answers(control, count):
    if count > len(control) // DONE_ENTRY.size:
        raise Violation("a list is longer than its control part")
    parts, answers = Parts(control), []
    parts.at = 8
    for _ in range(count):
        job, attempt, outcome = parts.take("<Q"), parts.take("<I"), parts.variant(LOST + 1)
        number = parts.take("<i") if outcome in _WITH_NUMBER else None
        if len(control) - parts.at < _USAGE.size:
            raise Violation("a control part ends early")
        *usage, length = _USAGE.unpack_from(control, parts.at)
        parts.at += _USAGE.size
        answers.append((job, attempt, outcome, number, tuple(usage), length))
    parts.end()
    return answers


def input_credit(job, attempt, chunks):
    return frame(INPUT_CREDIT, _PAIR_AND_NUMBER.pack(job, attempt, chunks))


def recalled(pairs):
    return frame(RECALLED, U64.pack(len(pairs)) + b"".join(_PAIR.pack(*pair) for pair in pairs))


def progress(job, attempt, done, total):
    return frame(PROGRESS, _PROGRESS.pack(job, attempt, done, total))


def parse_progress(control):
    """(job, attempt, done, total)"""
    return exactly(_PROGRESS, control)


def pong(number):
    return frame(PONG, U64.pack(number))


def worker_ack(number):
    return frame(WORKER_ACK, U64.pack(number))


def worker_bye():
    return frame(WORKER_BYE)


def parse_omitted(control):
    """(job, attempt, stream, bytes)"""
    return exactly(_OMITTED, control)


# ---- Shapes that both directions share


def parse_pair(control):
    """(job, attempt): Cancel, Started, InputChunk, ResultChunk"""
    return exactly(_PAIR, control)


def parse_pairs(control):
    """A list of (job, attempt): Recall, Recalled"""
    return list_of(_PAIR, control)


def parse_credit(control):
    """(job, attempt, chunks): both kinds of Credit"""
    return exactly(_PAIR_AND_NUMBER, control)


def parse_number(control):
    """Ping, Pong and both kinds of Ack"""
    return exactly(U64, control)[0]


def parse_slots(control):
    """Resize"""
    slots = exactly(_U32, control)[0]
    if slots == 0:
        raise Violation("a pool without workers")
    return slots


# ---- Payloads of answers that are not Ok


def task_error(kind, message, location=None, chain=()):
    """A TaskError, cut to what an answer may hold."""
    place = b"\0" if location is None else b"\1" + string(location[:1000])
    causes = b"".join(string(cause[:4000]) for cause in chain[:10])
    return string(message[:20_000]) + place + U64.pack(len(chain[:10])) + causes + _U32.pack(kind)


def parse_task_error(data):
    """(message, location or None, causes, kind); a payload that is none is a Violation, which is the reader's to
    tolerate."""
    parts = Parts(data)
    message = parts.string()
    location = parts.string() if parts.flag() else None
    error = message, location, parts.strings(), parts.variant(UNDECODABLE + 1)
    parts.end()
    return error


def death(message, exit_code, signal, attempts, stderr):
    """What an agent says about a job whose worker is gone."""
    numbers = optional("<i", exit_code) + optional("<i", signal) + _U32.pack(attempts)
    return string(message) + numbers + U64.pack(len(stderr)) + stderr


def parse_death(data):
    """(message, exit_code or None, signal or None, attempts, stderr)"""
    parts = Parts(data)
    message = parts.string(), parts.optional("<i"), parts.optional("<i"), parts.take("<I"), parts.bytes()
    parts.end()
    return message
