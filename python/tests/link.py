"""The other side of a worker's link: what tests drive a real worker process with."""

import os
import select
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from orchestrator import _payload as payload
from orchestrator import _prepare as prepare
from orchestrator import _wire as wire

DEADLINE_S = 30


def wait_for(condition, what="the condition"):
    """Until the condition holds; gives its value."""
    end = time.monotonic() + DEADLINE_S
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited too long for %s" % what)
        time.sleep(0.002)


def alive(pid):
    """Whether a process exists and is more than a zombie."""
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Link:
    """A worker process behind a link of pipes. `frames` are those that have come and nobody has asked for."""

    def __init__(self, command=None, init=None, link=wire.LOCAL, max_payload=1 << 30, until_ready=True, **options):
        self.process = subprocess.Popen(
            command or prepare.worker_command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=options.pop("stderr", subprocess.PIPE),
            bufsize=0,
            **options,
        )
        self.to_worker, self.from_worker = self.process.stdin.fileno(), self.process.stdout.fileno()
        self.frames, self._jobs = [], 0
        self.other = []  # frames that came before answers
        before = b""
        while not wire.find_greeting(before):
            data = self._receive()
            if not data:
                raise AssertionError("no greeting but %r, %r" % (before, self.stderr()))
            before += data
        version, at = wire.find_greeting(before)
        assert version == wire.VERSION, version
        self.preamble = before[:at]
        self._reader = wire.FrameReader()
        self.frames += self._reader.feed(before[at:])
        self.send(wire.hello("test", 0, link, max_payload, init is not None))
        if init is not None:
            self.send(wire.init(init))
        if until_ready:
            self.ready = wire.parse_ready(self.wait(wire.READY)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.process.stderr):
            if file is not None:
                file.close()

    def _receive(self):
        ready, _, _ = select.select([self.from_worker], [], [], DEADLINE_S)
        if not ready:
            raise AssertionError("nothing comes from the worker")
        return os.read(self.from_worker, 1 << 18)

    def stderr(self):
        """All of it, once the worker has ended."""
        self.process.wait(DEADLINE_S)
        return self.process.stderr.read().decode()

    def send(self, data):
        view = memoryview(data)
        while view:
            view = view[os.write(self.to_worker, view) :]

    def next(self):
        """The next frame."""
        while not self.frames:
            data = self._receive()
            if not data:
                raise EOFError("the worker has ended: %s" % self.stderr())
            self.frames += self._reader.feed(data)
        return self.frames.pop(0)

    def wait(self, kind):
        """The next frame of a kind; those before it stay."""
        passed = []
        while True:
            try:
                frame = self.next()
            except EOFError:
                self.frames = passed
                raise
            if frame[0] == kind:
                self.frames[:0] = passed
                return frame
            passed.append(frame)

    def run(self, *inputs, task=0, encoding=wire.RAW, attempt=1):
        """Assigns jobs in one frame. Gives their numbers."""
        headers, first = [], self._jobs + 1
        for data in inputs:
            self._jobs += 1
            headers.append(wire.JOB_ENTRY.pack(self._jobs, attempt, task, encoding, len(data), len(data)))
        self.send(wire.run_many(headers, inputs))
        return range(first, self._jobs + 1)

    def answer(self):
        """The next answer: (job, outcome, payload). Chunks of it are put together and credited."""
        chunks = b""
        while True:
            kind, control, data = frame = self.next()
            if kind == wire.RESULT_CHUNK:
                chunks += data
                self.send(wire.result_credit(*wire.parse_pair(control), 1))
            elif kind == wire.DONE_MANY:
                ((job, _, outcome, _, self.usage, _),) = wire.parse_done_many(control, data)
                return job, outcome, chunks + data
            else:
                self.other.append(frame)

    def call(self, function, *args, **kwargs):
        """Runs a function as a job of `call`; (tag, value) of its result."""
        self.run(call(function, *args, **kwargs))
        return self.result()

    def result(self, lease=None):
        """The next answer, decoded."""
        _, outcome, data = self.answer()
        if outcome != wire.OK:
            return outcome, data
        return payload.decode_result(data, lease)

    def printed(self):
        """What has been printed up to the last answer, by job."""
        texts = {}
        for kind, control, data in self.other:
            if kind == wire.OUTPUT:
                job = wire.parse_output(control)[0]
                texts[job] = texts.get(job, b"") + data
        return texts


def call(function, *args, **kwargs):
    """The input of a call."""
    return payload.encode_call(payload.CALL, 0, (function, args, kwargs))[0]
