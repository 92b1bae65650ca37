"""A worker's loop: takes jobs off the link, has them run, and answers.

The main thread computes, reads and writes: a small job meets no other thread and no system call of its own. Answers of
such jobs are collected, and held in the status page meanwhile. A second thread, the watcher (`_watch`), looks after the
link while a job runs for longer.

One lock, `role`, stands for everything here: the queue, what is to be written, reading and writing. The main thread has
it but for two times, while a job runs and while it waits for a frame; `turn` counts jobs' starts and ends, and so is odd
while one runs.
"""

import os
import select
import struct
import sys
from _thread import allocate_lock, get_ident, start_new_thread
from collections import OrderedDict, deque
from time import monotonic, sleep

from orchestrator import _wire
from orchestrator._job import Input, Usage
from orchestrator._outbox import FULL, HOLD_S, Outbox
from orchestrator._page import StatusPage
from orchestrator._stdio import Stdio

try:
    import _signal as signal  # type: ignore[import-not-found]  # the module around it is slow to import
except ImportError:
    import signal

EX_SOFTWARE, EX_OSERR, EX_PROTOCOL = 70, 71, 76

_SMALL_JOB_S = 0.0005  # behind jobs that take longer than this, answers do not wait at all
_IMPORT_S = 0.005  # how long a job that is to be interrupted and is importing is left alone
_READ = 64 * 1024
# One that nothing else uses, where there are such.
_CANCEL_SIGNAL = signal.SIGRTMIN + 5 if hasattr(signal, "SIGRTMIN") else signal.SIGUSR2
# A frame with one answer of Ok, up to its payload: frames that are held cannot grow.
_OK_ANSWER = struct.Struct("<2sBBIIQQIIQQQQII")


this_worker: "Worker | None" = None
"""The worker that this process is."""


class JobCancelled(BaseException):
    """Raised in a running job that its owner has cancelled. No Exception: to swallow it takes intent."""


class Worker:
    """A worker at one link. `tasks` is what it offers: it has

    `names`, and `build`, for Ready;
    `exact_output`: whether it matters which of several small jobs printed something;
    `prepare(worker, init)`: its start work, `init` being Init's data or None;
    `add_blob(number, data)`;
    `run(task, encoding, data) -> (outcome, payload)`: runs a job, raises nothing but JobCancelled;
    `has_failed(outcome, payload)`: whether that was no success."""

    def __init__(self, tasks):
        global this_worker
        this_worker = self
        self.stdio = Stdio()
        self.tasks = tasks
        self.role = allocate_lock()
        self.role.acquire()
        self.turn = 0
        self.wanting = deque()  # threads that wait for the lock, which the watcher then leaves alone
        self.parked = False  # the watcher sleeps until it is woken
        self.wake_in, self.wake_out = os.pipe()
        os.set_blocking(self.wake_in, False)
        os.set_blocking(self.wake_out, False)
        self._reader = _wire.FrameReader()
        self._outbox = Outbox(self.stdio, tasks.exact_output, self.gone)
        self._anything = select.poll()
        for descriptor in (self.stdio.capture, self.stdio.link_in):
            self._anything.register(descriptor, select.POLLIN)
        self._numbers = [0, 0, 0]  # instead of the page's, where there is none
        # Jobs that have not started, by pair: (task, encoding, data), the latter an Input while it is not complete.
        self.queue = OrderedDict()
        self.current: "tuple[int, int] | None" = None  # the pair that was taken from the queue, until it is answered
        self._last = (0, 0)  # the last one of these
        self.interruptible = None  # the same, while its code runs
        self.cancelled = None  # the last pair that was to be cancelled after its start
        self._interrupt = None  # the same, until it has been told
        self._main = get_ident()
        self._credit = 0  # result chunks that may be sent
        self._paused = self._draining = self._remote = self.ready = self._forked = False
        self._jobs_seen = 0
        self._early = []  # frames that came with the first ones
        self._max_payload = 0
        self._unchecked_size = 0  # results up to this one are sent as they are
        self._usage = Usage()
        self._looked = 0.0  # at the link, between two jobs
        self._printer = self.stdio.printed
        self._exact_output = tasks.exact_output
        self.reported = 0.0  # when the running job last told its progress

    # ---- Life

    def serve(self):
        """Runs until the orchestrator has no more use for this process, which then ends."""
        try:
            self._begin()
            while not (self._draining and not self.queue):
                if self.queue and not self._paused:
                    self._run_queue()
                else:
                    self.flush()
                    self._read()
            self._finish()
        except _wire.Violation as violation:
            self.violated(violation)

    def _begin(self):
        signal.signal(signal.SIGINT, _ignore)  # Ctrl-C is the client's. An ignored signal would be ignored by children too.
        signal.signal(_CANCEL_SIGNAL, self._on_cancel)
        _explain_crashes()
        self._outbox.write(_wire.greeting())
        self._outbox.position = 0
        hello = self._first_frames(1)[0]
        if hello[0] != _wire.HELLO:
            raise _wire.Violation("the first frame is not Hello")
        _, number, link, self._max_payload, with_init = _wire.parse_hello(hello[1])
        self._remote = link == _wire.REMOTE
        self._unchecked_size = min(_wire.MAX_CHUNK, self._max_payload)
        init = None
        if with_init:
            kind, _, init = self._first_frames(1)[0]
            if kind != _wire.INIT:
                raise _wire.Violation("the announced Init did not come")
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._in_forked_child)
        self._start_watcher()
        self._leave()
        try:
            self.tasks.prepare(number, init, self._remote)
            self.stdio.flush()
        finally:
            self._enter()
        self.flush()
        page = None if self._remote else StatusPage.create()
        if page is not None:
            self._numbers = page.numbers
        descriptor = None if page is None else page.descriptor
        self._outbox.write(_wire.ready(self.tasks.build, os.getpid(), 1, self.tasks.names, descriptor))
        self.ready = True
        if page is not None:
            page.written(self._outbox.position)
            self._outbox.page = page
        frames, self._early = self._early, []
        for frame in frames:
            self.handle(*frame)

    def _first_frames(self, count):
        while len(self._early) < count:
            received = os.read(self.stdio.link_in, _READ)
            if not received:
                os._exit(1)
            self._early += self._reader.feed(received)
        taken, self._early = self._early[:count], self._early[count:]
        return taken

    def _start_watcher(self):
        from orchestrator import _watch

        try:
            start_new_thread(_watch.watch, (self,))
        except RuntimeError:
            os.write(2, b"orchestrator worker: the system refuses a thread\n")
            os._exit(EX_OSERR)

    def _finish(self):
        """After Drain: what an interpreter does at its end, while output is still passed on; then Bye."""
        self.flush()
        self._leave()
        try:
            if "threading" in sys.modules:
                sys.modules["threading"]._shutdown()
            import atexit

            atexit._run_exitfuncs()
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
        self.stdio.flush()
        self._enter()
        self.flush()
        self._outbox.write(_wire.worker_bye())
        os._exit(0)

    def violated(self, violation):
        os.write(2, ("orchestrator worker: protocol error: %s\n" % violation).encode("utf-8", "replace"))
        self._end(EX_PROTOCOL)

    def _end(self, status):
        from orchestrator import _children

        _children.kill_descendants()
        os._exit(status)

    def gone(self):
        """The orchestrator is gone."""
        from orchestrator import _children

        _children.end_with_descendants(1)

    def _in_forked_child(self):
        if not self._forked:
            global this_worker
            this_worker = None
            self._forked = True
            self.stdio.close_in_child()

    # ---- The lock

    def _leave(self):
        """Gives the lock up while other code runs."""
        self.turn += 1
        if self.parked:
            self.wake()
        self.role.release()

    def _enter(self):
        self.take_role()
        self.turn += 1

    def take_role(self):
        """Gets the lock, from the watcher too."""
        if not self.role.acquire(False):
            # The watcher may read what wakes it before it has given the lock up, and must not take it once more.
            self.wanting.append(True)
            self.wake()
            self.role.acquire()
            self.wanting.pop()

    def wake(self):
        self.parked = False
        try:
            os.write(self.wake_out, b"w")
        except BlockingIOError:
            pass  # it is full of such

    # ---- Jobs

    def _run_queue(self):
        queue = self.queue
        while queue and not self._paused:
            pair, job = queue.popitem(last=False)
            if type(job[2]) is Input:
                if not job[2].is_complete():
                    self._wait_for_input(pair, job)
                    continue
                job = job[0], job[1], job[2].data()
            self._run(pair, *job)

    def _wait_for_input(self, pair: "tuple[int, int]", job):
        """Its turn has come, but it has not started: it stays in the queue."""
        self.queue[pair] = job
        self.queue.move_to_end(pair, last=False)
        self.flush()
        uncredited = job[2].take_uncredited()
        if uncredited:
            self._outbox.write(_wire.input_credit(*pair, uncredited))
        self._read()

    def _run(self, pair: "tuple[int, int]", task, encoding, data):
        # What all small jobs go through: `_leave` and `_enter` are written out, and nothing is looked up twice.
        numbers = self._numbers
        numbers[1] = pair[1]
        numbers[0] = pair[0]
        self.current = self._last = pair
        start = monotonic()
        if start - self._usage.taken > HOLD_S:
            self._usage.take(start)
        self.turn += 1
        if self.parked:
            self.wake()
        self.role.release()
        try:
            self.interruptible = pair
            outcome, payload = self.tasks.run(task, encoding, data)
            self.interruptible = None
        except JobCancelled:
            self.interruptible = None
            outcome, payload = _wire.CANCELLED, b""
        del data
        if self._printer.dirty:
            self.stdio.flush()
        if self._forked:
            os._exit(0)  # a forked child that has come back from the job: it is no worker
        if not self.role.acquire(False):
            self.take_role()
        self.turn += 1
        if self.cancelled == pair and self.tasks.has_failed(outcome, payload):
            outcome, payload = _wire.CANCELLED, b""
        end = monotonic()
        wall = end - start
        self._answer(pair, outcome, payload, wall, end)
        numbers[0] = 0
        if wall > _SMALL_JOB_S or end - self._outbox.since > HOLD_S or self._outbox.waiting_bytes > FULL:
            self.flush()
            if end - self._looked > HOLD_S:
                self._looked = end
                self._look_at_link()
        self.current = None

    def _answer(self, pair: "tuple[int, int]", outcome, payload, wall, now):
        if self._exact_output:
            self._outbox.write_printed(pair)
        length = len(payload)
        if outcome == 0 and length > self._unchecked_size:
            outcome, payload = self._send_chunks(pair, payload)
            length = len(payload)
        microseconds = int(wall * 1e6)
        if outcome == 0 and wall < HOLD_S:
            head = _OK_ANSWER.pack(b"\xb1\x0f", 0x85, 0, 64, length, 1, pair[0], pair[1], 0, microseconds, 0, 0, 0, 0, length)
            frame = head + payload + b"\n"
        else:
            usage = microseconds, *(self._usage.since_taken() if wall >= HOLD_S else (0, 0, 0)), 0
            frame = _wire.done_many([_wire.done_entry(*pair, outcome, 1, usage, length)], [payload])
        if not self._outbox.add(frame, now):
            self.flush()

    def _send_chunks(self, pair: "tuple[int, int]", payload):
        """Sends all but the last part of a long result, as credit comes. Gives the outcome and that part; Failed for one that
        is too long."""
        if len(payload) > self._max_payload:
            text = "result of %d bytes is larger than the limit of %d (`max_payload`)"
            return _wire.FAILED, _wire.task_error(_wire.TOO_LARGE, text % (len(payload), self._max_payload))
        self.flush()
        self._credit = _wire.CREDIT
        rest = memoryview(payload)
        while len(rest) > _wire.MAX_CHUNK:
            while self._credit == 0:
                self._read()
            self._credit -= 1
            self._outbox.write(_wire.result_chunk(*pair, rest[: _wire.MAX_CHUNK]))
            rest = rest[_wire.MAX_CHUNK :]
        return _wire.OK, bytes(rest)

    # ---- Cancelling

    def _on_cancel(self, _signal, frame):
        """In the main thread, between two of the job's instructions."""
        pair = self._interrupt
        if pair is None or pair != self.interruptible:
            return
        if _is_importing(frame):
            start_new_thread(self._interrupt_later, (pair,))
            return
        self._interrupt = None
        raise JobCancelled

    def _interrupt_later(self, pair):
        sleep(_IMPORT_S)
        if pair == self._interrupt and pair == self.interruptible:
            signal.pthread_kill(self._main, _CANCEL_SIGNAL)

    def _cancel(self, pair: "tuple[int, int]"):
        if self.queue.pop(pair, None) is not None:
            self.flush()
            self._outbox.write(_wire.done_many([_wire.done_entry(*pair, _wire.CANCELLED, 0, _wire.NO_USAGE, 0)], []))
        elif pair == self.interruptible:
            self.cancelled = self._interrupt = pair
            signal.pthread_kill(self._main, _CANCEL_SIGNAL)

    # ---- Writing, with the lock

    def flush(self):
        """Writes the answers that wait, behind what their jobs have printed."""
        self._outbox.flush(self.current or ((0, 0) if self._outbox.is_empty() else self._last))

    def answers_are_late(self):
        return not self._outbox.is_empty() and monotonic() - self._outbox.since > HOLD_S

    def write_answers(self):
        """The same when nothing has been printed."""
        self._outbox.write_answers()

    def send(self, frame):
        """Writes a frame behind all that waits."""
        if not self._outbox.is_empty():
            self.flush()
        self._outbox.write(frame)

    # ---- Reading

    def _read(self):
        """Waits for bytes and acts on them. Everything has been written."""
        self.role.release()
        try:
            received = os.read(self.stdio.link_in, self._reader.wanted(_READ))
        except OSError:
            received = b""
        self.take_role()
        self._take(received)

    def read_now(self):
        """The same when there is something, or the end, with the lock."""
        try:
            received = os.read(self.stdio.link_in, self._reader.wanted(_READ))
        except OSError:
            received = b""
        self._take(received)

    def _look_at_link(self):
        for descriptor, _ in self._anything.poll(0):
            if descriptor == self.stdio.link_in:
                self.read_now()

    def _take(self, received):
        if not received:
            self.gone()
        for frame in self._reader.feed(received):
            self.handle(*frame)

    def handle(self, kind, control, payload):
        """Acts on one frame, or raises Violation and has done nothing."""
        if kind == _wire.RUN_MANY:
            self._assign(_wire.parse_run_many(control, payload), payload)
            if self._remote:
                self._jobs_seen += 1
                self.send(_wire.worker_ack(self._jobs_seen))
        elif kind == _wire.INPUT_CHUNK:
            self._add_input(_wire.parse_pair(control), payload)
        elif kind == _wire.RESULT_CREDIT:
            *pair, chunks = _wire.parse_credit(control)
            if tuple(pair) == self.current:
                self._credit = min(_wire.CREDIT, self._credit + chunks)
        elif kind == _wire.BLOB:
            number, more = _wire.parse_blob(control)
            self.tasks.add_blob(number, payload, more)
        elif kind == _wire.CANCEL:
            self._cancel(_wire.parse_pair(control))
        elif kind == _wire.RECALL:
            given = [pair for pair in _wire.parse_pairs(control) if self.queue.pop(pair, None) is not None]
            self.send(_wire.recalled(given))
        elif kind == _wire.PING:
            self.send(_wire.pong(_wire.parse_number(control)))
        elif kind == _wire.ACK:
            _wire.parse_number(control)
        elif kind == _wire.PAUSE:
            self._paused = True
        elif kind == _wire.RESUME:
            self._paused = False
        elif kind == _wire.DRAIN:
            self._draining = True
        elif kind == _wire.BYE:
            self._end(0)
        elif kind == _wire.WIND_DOWN:
            pass
        else:
            raise _wire.Violation("a message of kind %#04x" % kind)

    def _assign(self, entries, payload):
        new, at = {}, 0
        for job, attempt, task, encoding, input_len, length in entries:
            data = payload[at : at + length]
            at += length
            new[job, attempt] = task, encoding, data if length == input_len else Input(input_len, data)
        if self._draining or len(new) != len(entries) or self.current in new or not self.queue.keys().isdisjoint(new):
            raise _wire.Violation("a pair that is held is assigned, or jobs come after Drain")
        self.queue.update(new)

    def _add_input(self, pair, data):
        job = self.queue.get(pair)
        if job is None:
            return  # it was under way when the pair ended
        if type(job[2]) is not Input:
            raise _wire.Violation("more input than announced")
        job[2].add(data)


def _is_importing(frame):
    """Whether the job is just importing a module. Half of one would stay, and fail the jobs that follow: it is interrupted
    behind that, or ends with its worker when that is too long."""
    prepare = sys.modules.get("orchestrator._prepare")
    if prepare is not None and prepare.is_loading_main():
        return True
    while frame is not None and frame.f_code is not Worker._run.__code__:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _ignore(_signal, _frame):
    pass


def _explain_crashes():
    """A worker that is killed by a fault of its own says where it was: its orchestrator tells the last lines."""
    try:
        import faulthandler

        if not faulthandler.is_enabled():
            faulthandler.enable(2)
    except (ImportError, OSError, ValueError):
        pass  # it dies without a word
