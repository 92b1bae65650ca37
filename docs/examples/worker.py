#!/usr/bin/env python3
"""A worker in plain Python, written from ../protocol.md alone. To make your own, copy it and change TASKS.

Two threads: the main thread runs the jobs, one after the other; the reader takes frames off the link all the time, so
that a recalled job is given back, a ping answered and the orchestrator's end seen while a job runs. Left out, as the
protocol allows: bincode payloads, Started, Progress, blobs, a status page, several answers in one frame. Python 3.8 or later.
"""
import io
import json
import os
import struct
import sys
import threading
import time
import traceback
from collections import OrderedDict

MAX_FRAME, MAX_CHUNK, CREDIT = 1 << 20, 256 * 1024, 4
HELLO, INIT, BLOB, RUN_MANY, INPUT_CHUNK, RESULT_CREDIT, CANCEL, RECALL, PAUSE, RESUME, DRAIN, PING, ACK, BYE, WIND_DOWN = range(1, 16)
READY, STARTED, OUTPUT, RESULT_CHUNK, DONE_MANY, INPUT_CREDIT, RECALLED, PROGRESS, PONG, WORKER_ACK, WORKER_BYE = range(0x81, 0x8C)
BINCODE, JSON, RAW = 0, 1, 2
ERROR, PANIC, UNENCODABLE, TOO_LARGE, UNKNOWN_TASK, UNDECODABLE = range(6)
OK, FAILED, REJECTED, CANCELLED = struct.pack("<I", 0), struct.pack("<Ii", 1, 1), struct.pack("<I", 5), struct.pack("<I", 6)


# ---- The tasks. Each has a function that checks its input (the parsed JSON value, or raw input as text), and its work.
def two_numbers(value):
    value = [int(word) for word in value.split()] if isinstance(value, str) else value
    if not isinstance(value, list) or [type(n) in (int, float) for n in value] != [True, True]:
        raise ValueError("expected two numbers")
    return value


def text(value):
    if not isinstance(value, str):
        raise ValueError("expected text")
    return value


TASKS = {"add": (two_numbers, sum), "upper": (text, str.upper)}


# ---- Control parts: little-endian numbers of fixed size, lengths as u64.
class Violation(Exception):
    """The orchestrator broke the protocol: the link has no meaning any more."""


def string(value):
    data = value.encode(errors="replace")
    return struct.pack("<Q", len(data)) + data


def task_error(kind, message):  # no location, no causes
    return string(message[:10_000]) + struct.pack("<BQI", 0, 0, kind)


def take_list(layout, control):
    if struct.unpack("<Q", control[:8])[0] * struct.calcsize(layout) != len(control) - 8:
        raise Violation("a list is not as long as it says")
    return list(struct.iter_unpack(layout, control[8:]))


class Job:
    def __init__(self, pair, task, encoding, input_len, first):
        self.pair, self.encoding, self.input_len, self.data = pair, encoding, input_len, bytearray(first)
        self.uncredited = 0  # input chunks that came and were not credited
        self.credit = CREDIT  # result chunks that may be sent
        self.task = list(TASKS.values())[task] if task < len(TASKS) else None
        self.refusal = (UNKNOWN_TASK, "no task %d" % task) if not self.task else None
        if encoding == BINCODE:
            self.refusal = self.refusal or (UNDECODABLE, "input in bincode is not understood")

    def run(self, max_payload):
        """Outcome and payload."""
        if self.refusal:
            return REJECTED, task_error(*self.refusal)
        check, work = self.task
        try:
            value = self.data.decode()
            value = check(json.loads(value) if self.encoding == JSON else value)
        except Exception as error:
            return REJECTED, task_error(UNDECODABLE, "cannot decode input: %s" % error)
        try:
            result = work(value)
        except BaseException as error:  # SystemExit too: a job does not end its worker
            return FAILED, task_error(ERROR, "%s: %s" % (type(error).__name__, error))
        try:
            result = (json.dumps(result, allow_nan=False) if self.encoding == JSON else str(result)).encode()
        except Exception as error:
            return FAILED, task_error(UNENCODABLE, "result cannot be encoded: %s" % error)
        if len(result) > max_payload:
            return FAILED, task_error(TOO_LARGE, "result of %d bytes is larger than the limit of %d (`max_payload`)" % (len(result), max_payload))
        return OK, result


class Worker:
    def __init__(self, link_in, link_out):
        self.link_in, self.link_out = link_in, link_out
        self.writing = threading.Lock()  # keeps a frame's bytes together
        self.changed = threading.Condition()  # guards all that follows
        self.queue, self.running = OrderedDict(), None  # by pair: (job, attempt)
        self.seen, self.paused, self.draining, self.remote, self.run_frames, self.max_payload = set(), False, False, False, 0, 0

    # The orchestrator always reads, so that any thread may block in here, whatever it holds.
    def send(self, kind, control=b"", payload=b""):
        frame = struct.pack("<2sBBII", b"\xb1\x0f", kind, 0, len(control), len(payload)) + control + payload + b"\n"
        try:
            with self.writing:
                while frame:
                    frame = frame[os.write(self.link_out, frame):]
        except OSError:
            os._exit(1)  # the orchestrator is gone

    def answer(self, job, outcome, payload=b"", wall=0.0):
        usage = struct.pack("<QQQQI", int(wall * 1e6), 0, 0, 0, 0)
        self.send(DONE_MANY, struct.pack("<QQI", 1, *job.pair) + outcome + usage + struct.pack("<I", len(payload)), payload)

    # ---- The reader's side.
    def read(self):
        try:
            buffer = b""
            while received := os.read(self.link_in, 1 << 16):
                buffer = self.take_frames(buffer + received)
        except (Violation, struct.error, UnicodeDecodeError) as error:
            os.write(2, ("worker.py: protocol error: %s\n" % error).encode())
            os._exit(76)
        except OSError:
            pass  # as good as the end
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        os._exit(1)  # the orchestrator is gone, and with it whatever runs here

    def take_frames(self, buffer):
        """Handles the frames that are complete; the rest of the buffer comes back."""
        at = 0
        while True:
            header = buffer[at:at + 12]
            if header[:2] != b"\xb1\x0f"[:len(header)] or header[3:4] not in (b"", b"\0"):
                raise Violation("expected a frame, found %r" % buffer[at:at + 60])
            if len(header) < 12:
                return buffer[at:]
            kind, control_len, payload_len = struct.unpack("<2xBxII", header)
            middle, end = at + 12 + control_len, at + 13 + control_len + payload_len
            if end - at > MAX_FRAME:
                raise Violation("frame of %d bytes is larger than the limit" % (end - at))
            if len(buffer) < end:
                return buffer[at:]
            if buffer[end - 1] != 0x0A:
                raise Violation("frame does not end with a line feed")
            with self.changed:
                self.handle(kind, buffer[at + 12:middle], buffer[middle:end - 1])
                self.changed.notify_all()
            at = end

    def held(self, pair):
        return self.running if self.running and self.running.pair == pair else self.queue.get(pair)

    def handle(self, kind, control, payload):  # struct.unpack refuses a control part of any other length
        if (kind == HELLO) == bool(self.seen):
            raise Violation("Hello must come first, and once")
        if payload and kind not in (INIT, BLOB, RUN_MANY, INPUT_CHUNK):
            raise Violation("message %d does not carry a payload" % kind)
        if kind == HELLO:
            after = 8 + struct.unpack("<Q", control[:8])[0]
            control[8:after].decode()  # the build is only for messages
            _, link, self.max_payload, init = struct.unpack("<IIQB", control[after:])
            if link > 1 or init > 1:
                raise Violation("unknown kind of link, or no boolean")
            self.remote = link == 1
            names = b"".join(string(name) for name in TASKS)
            self.send(READY, string("worker.py") + struct.pack("<IIQ", os.getpid(), 1, len(TASKS)) + names + b"\0")
        elif kind == INIT:
            if control or {INIT, RUN_MANY} & self.seen:
                raise Violation("Init must come before jobs, and once")
        elif kind == BLOB:
            if struct.unpack("<QB", control)[1] > 1:
                raise Violation("a bool is neither 0 nor 1")
        elif kind == RUN_MANY:
            self.queue.update(self.assigned(take_list("<QIIIQI", control), payload))
            self.run_frames += 1
            if self.remote:
                self.send(WORKER_ACK, struct.pack("<Q", self.run_frames))
        elif kind == INPUT_CHUNK:
            job = self.held(struct.unpack("<QI", control))
            if job:  # else the chunk was under way when its job ended
                if len(job.data) + len(payload) > job.input_len or job.uncredited == CREDIT:
                    raise Violation("more input than announced or credited")
                job.data += payload
                job.uncredited += 1
        elif kind == RESULT_CREDIT:
            *pair, chunks = struct.unpack("<QII", control)
            job = self.held(tuple(pair))
            if job:
                job.credit = min(CREDIT, job.credit + chunks)
        elif kind == CANCEL:
            job = self.queue.pop(struct.unpack("<QI", control), None)
            if job:  # one that runs already cannot be stopped
                self.answer(job, CANCELLED)
        elif kind == RECALL:
            given = [pair for pair in take_list("<QI", control) if self.queue.pop(pair, None)]
            self.send(RECALLED, struct.pack("<Q", len(given)) + b"".join(struct.pack("<QI", *pair) for pair in given))
        elif kind in (PING, ACK):
            number, = struct.unpack("<Q", control)
            if kind == PING:
                self.send(PONG, struct.pack("<Q", number))
        elif kind in (PAUSE, RESUME, DRAIN, BYE, WIND_DOWN):
            struct.unpack("<", control)
            if kind == BYE:
                os._exit(0)
            self.draining = self.draining or kind == DRAIN
            self.paused = kind == PAUSE or (self.paused and kind != RESUME)
        else:
            raise Violation("unknown message kind %#04x" % kind)
        self.seen.add(kind)

    def assigned(self, entries, payload):
        """The jobs of a frame, all of them checked before any of them may start."""
        if self.draining or sum(entry[5] for entry in entries) != len(payload):
            raise Violation("jobs after Drain, or inputs that do not add up")
        jobs, at = OrderedDict(), 0
        for job, attempt, task, encoding, input_len, length in entries:
            pair = (job, attempt)
            if job == 0 or encoding > RAW or length > input_len or pair in jobs or self.held(pair):
                raise Violation("job %d cannot be assigned" % job)
            jobs[pair] = Job(pair, task, encoding, input_len, payload[at:at + length])
            at += length
        return jobs

    # ---- The main thread's side.
    def next_job(self):
        """Waits for the head of the queue and all of its input; None when drained."""
        with self.changed:
            while True:
                head = next(iter(self.queue.values())) if self.queue and not self.paused else None
                if head and (head.refusal or len(head.data) == head.input_len):
                    self.running = self.queue.pop(head.pair)
                    return head
                if head and head.uncredited:  # its turn has come: more of it may come
                    self.send(INPUT_CREDIT, struct.pack("<QII", *head.pair, head.uncredited))
                    head.uncredited = 0
                if self.draining and not self.queue:
                    return None
                self.changed.wait()

    def serve(self):
        while job := self.next_job():
            start = time.monotonic()
            outcome, payload = job.run(self.max_payload)
            wall = time.monotonic() - start
            while len(payload) > MAX_CHUNK:
                with self.changed:
                    self.changed.wait_for(lambda: job.credit > 0)
                    job.credit -= 1
                self.send(RESULT_CHUNK, struct.pack("<QI", *job.pair), payload[:MAX_CHUNK])
                payload = payload[MAX_CHUNK:]
            with self.changed:
                self.running = None
                self.answer(job, outcome, payload, wall)
        self.send(WORKER_BYE)


class Printed(io.TextIOBase):
    """What Python code prints: output of the running job, or of no job."""

    def __init__(self, worker):
        self.worker = worker

    def write(self, printed):
        data, job = printed.encode(errors="replace"), self.worker.running
        for at in range(0, len(data), MAX_CHUNK):
            self.worker.send(OUTPUT, struct.pack("<QII", *(job.pair if job else (0, 0)), 0), data[at:at + MAX_CHUNK])
        return len(printed)


def main():
    # First of all the link moves away from 0 and 1. What os.dup makes is close-on-exec, as it must be.
    worker = Worker(os.dup(0), os.dup(1))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # for what code in C prints
    if os.getpgrp() != os.getpid():
        os.setsid()
    sys.stdout = Printed(worker)
    os.write(worker.link_out, b"orchestrator-worker protocol 7\n")
    threading.Thread(target=worker.read, daemon=True).start()
    worker.serve()
    os._exit(0)


if __name__ == "__main__":
    main()
