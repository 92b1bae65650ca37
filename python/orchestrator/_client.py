"""A pool from the parent's side: one agent, the jobs that wait for it and those it has, and a thread that reads.

A job waits in the backlog, where it can be cancelled, until the window has room. Then its future is RUNNING, it is pickled
and sent: by `submit` itself while there is room, otherwise by the reader and by it alone, many in one write, when answers
have come. The window is one more than the workers, as in the standard library; it grows while jobs are so short that the
workers would wait for the link.

One lock guards all state. It is never held while foreign code runs: pickling, unpickling, and setting a future's result
(which runs callbacks) happen outside, so that all of these may submit. The reader never blocks on writing, since the agent
need not read while it is not read from.

An executor that is dropped is noticed by a weak reference: this object belongs to the reader, and ends with its last job.
"""

from __future__ import annotations

import threading
import weakref

from . import _agent, _ending
from ._backlog import Backlog
from ._sending import Sending
from ._window import Window

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence

    from concurrent.futures import Executor, Future

    from ._connection import Connection
    from ._deadlines import Deadlines
    from ._encoder import Encoder
    from ._map import LazyMap
    from ._options import JobOptions, Settings
    from ._run_file import RunFile
    from ._segments import Lease, Segments
    from ._stats import Stats
    from ._work import Call, Work

_MOST_BLOBS = 256
_MOST_BLOB_BYTES = 64 << 20


class Client(Sending):
    """See the module. All methods may be called from any thread."""

    def __init__(self, settings: Settings, run_file: RunFile | None = None) -> None:
        self.settings = settings
        self.run_file = run_file
        if run_file is not None:
            run_file.committed = self.wake
        self.workers = settings.workers
        self._bounded = settings.max_pending is not None
        self.lock = threading.Lock()
        self.space = threading.Condition(self.lock)
        self.backlog = Backlog()
        self.flight: dict[int, Work] = {}
        self.maps: set[LazyMap] = set()
        self.window = Window(settings.workers)
        self.thread: threading.Thread | None = None
        # What comes with the start, see `_start`.
        self.new_call: type[Call] | None = None
        self.encoder: Encoder
        self.agent: _agent.Agent | None = None
        self.connection: Connection
        self.segments: Segments | None = None
        self.init_lease: Lease | None = None
        self._deadlines: Deadlines | None = None
        self._owner: weakref.ref[Executor] | None = None
        self.ready = False
        self._handing: Sequence[Work] = ()  # out of the backlog and not yet in flight
        self._ahead = 0  # jobs in the backlog whose futures say that they run
        self._next_job = 1
        self.blobs: dict[bytes, int] = {}
        self._blob_bytes = 0
        self._early: list[Callable[[Connection], None]] = []  # to be said once the agent is ready
        self.cancelled: set[int] = set()
        self.counts = {"submitted": 0, "done": 0, "failed": 0, "crashed": 0, "cancelled": 0}
        # How far the end has come.
        self.shut = False  # by shutdown
        self.collected = False  # nobody has the executor any more
        self.draining = False
        self.broken: Callable[[], BaseException] | None = None  # makes the error of all that is left, and of later jobs
        self.terminated = False  # by terminate
        self.interrupted = False  # by Ctrl-C
        self.reading = False  # the reader has begun
        self.ended = False  # the reader is about to leave
        self.forked = False  # this is another process

    # ---- The executor's side

    def owned_by(self, executor: Executor) -> None:
        """Ends with this executor, if it is dropped without having been shut down."""
        self._owner = weakref.ref(executor, self._drop)

    def _drop(self, _: object) -> None:
        # The garbage collector may call this anywhere, also where this thread holds the lock.
        self.collected = True
        if self.lock.acquire(False):
            try:
                self.end_if_idle()
            finally:
                self.lock.release()
        # Otherwise the reader looks at it, which is the only one left that takes the lock.

    def submit(self, work: Work, of_map: bool = False) -> None:
        """Takes a job, once started. `of_map`: one of a map that began when there was no end in sight."""
        data, error = None, None
        if self.ready and not self.backlog.size and len(self.flight) + len(self._handing) < self.window.size:
            try:
                data = work.encode(self)
            except KeyboardInterrupt:
                raise
            except BaseException as raised:
                error = raised
        if work.options.queue_timeout is not None:
            self._watch(work, work.options.queue_timeout)
        with self.lock:
            if self._bounded or self.shut or self.draining or self.broken or _ending.is_exiting or self.forked:
                try:
                    self._check(of_map)
                    self._wait_for_space(of_map)
                except BaseException:
                    work.release(True)
                    work.future.cancel()  # nobody has it; its deadline, if it has one, is over
                    raise
            submitted = self.counts["submitted"]
            try:
                self.counts["submitted"] = submitted + 1
                if error is not None:
                    self.counts["failed"] += 1
                elif data is not None and not self.backlog.size and self._room() > 0:
                    # Nobody else has seen this future.
                    work.future._state = "RUNNING"
                    self._launch(((work, data),), work.options)
                    self.write()
                else:
                    work.data = data
                    if len(self.flight) + len(self._handing) + self._ahead <= self.workers:
                        # The first ones run from the beginning, for all that can be seen.
                        work.future._state = "RUNNING"
                        work.running = True
                        self._ahead += 1
                    self.backlog.append(work)
                    self._nudge()
            except BaseException:
                # Ctrl-C: nobody gets this future. If the job has been sent, its answer interests nobody.
                self.counts["submitted"] = submitted
                self.flight.pop(work.job, None)
                self.backlog.remove(lambda other: other is work)
                self._ahead = self.backlog.recount()
                work.release(False)
                raise
        if error is not None:
            work.future.set_running_or_notify_cancel()
            work.fail_pickling(error)
        elif self.connection.outgoing:
            self.push()

    def cancel(self, future: Future[Any]) -> bool:
        """Cancels a job that waits, and ends one that runs. False: it has ended, or is none of ours."""
        if future.cancel():
            return True
        waiting = None
        with self.lock:
            job = next((job for job, work in self.flight.items() if work.future is future), None)
            if job is not None:
                self.cancelled.add(job)
                self.connection.cancel(job)
                self.write()
            else:
                waiting = self._take_waiting(lambda work: work.future is future)
                if waiting is None:
                    return False
                self.counts["cancelled"] += 1
        if waiting is None:
            self.push()
        else:
            waiting.resolve(waiting.end_cancelled)
        return True

    def _watch(self, work: Work, seconds: float) -> None:
        if self._deadlines is None:
            from ._deadlines import Deadlines

            with self.lock:
                if self._deadlines is None:
                    self._deadlines = Deadlines(self)
        self._deadlines.watch(work, seconds)

    def stop_watching(self) -> None:
        if self._deadlines is not None:
            self._deadlines.stop()

    def expire(self, work: Work) -> bool:
        """The job should have started by now. False: that cannot be told at the moment."""
        if work.future.done():
            return True
        with self.lock:
            if work.job in self.flight:
                self.connection.recall([work.job])  # it may have started; the answer says so
                self.write()
            elif work.job:
                return True
            elif self._take_waiting(lambda other: other is work) is None:
                return self.ended
            else:
                self.counts["crashed"] += 1
        if work.job:
            self.push()
        else:
            work.release(True)
            work.resolve(work.end_late)
            self.wake()
        return True

    def resize(self, workers: int) -> None:
        """Sets the number of workers."""
        with self.lock:
            self.workers = workers
            self.window.resize(workers)
            self._say(lambda connection: connection.resize(workers))
        self.wake()

    def stats(self) -> Stats:
        from ._stats import Stats

        with self.lock:
            return Stats(
                workers=self.workers,
                pending=self.backlog.size - self._ahead,
                running=len(self.flight) + len(self._handing) + self._ahead,
                **self.counts,
            )

    def new_blob(self, data: bytes) -> int | None:
        """The number under which workers have these bytes; None when they have too many others."""
        with self.lock:
            number = self.blobs.get(data)
            if number is None:
                if len(self.blobs) >= _MOST_BLOBS or self._blob_bytes + len(data) > _MOST_BLOB_BYTES:
                    return None
                number = self.blobs[data] = len(self.blobs) + 1
                self._blob_bytes += len(data)
                self._say(lambda connection: connection.blob(number, data))
            return number

    def begin(self, segments: bool) -> None:
        """The agent is ready; `segments`: its workers see ours."""
        assert self.segments is not None
        with self.lock:
            self.segments.enabled = segments
            self.ready = True
            for what in self._early:
                what(self.connection)
            self._early.clear()
        self.refill()

    def check(self, of_map: bool = False) -> None:
        """Raises what `submit` would raise now."""
        with self.lock:
            self._check(of_map)

    def count_failed(self) -> None:
        """A job has ended before it was one."""
        with self.lock:
            self.counts["submitted"] += 1
            self.counts["failed"] += 1

    def count_recorded(self) -> None:
        """The run file had a job's result."""
        with self.lock:
            self.counts["submitted"] += 1
            self.counts["done"] += 1

    def add_map(self, lazy: LazyMap) -> None:
        """Does not end before this map has read its inputs."""
        with self.lock:
            self._check(False)
            self.maps.add(lazy)

    def remove_map(self, lazy: LazyMap) -> None:
        # The garbage collector may call this anywhere, also where this thread holds the lock.
        self.maps.discard(lazy)
        if not (self.shut or self.collected or _ending.is_exiting):
            return  # who says so later looks whether there is work
        if self.lock.acquire(False):
            try:
                self.end_if_idle()
            finally:
                self.lock.release()
        else:
            threading.Thread(target=self._look_for_end, name="orchestrator-end", daemon=True).start()

    def _look_for_end(self) -> None:
        with self.lock:
            self.end_if_idle()

    def function_blob(self, fn: Callable[..., Any]) -> int:
        """The blob that stands for a function in a map's chunks; 0: it is pickled with each."""
        return self.encoder.function_blob(fn)

    def start(self) -> type[Call]:
        """Starts the agent, once. What makes a job of a call, for `submit`."""
        from ._start import start

        return start(self)

    # ---- End (see also `_ending`)

    def forget(self) -> None:
        """In the child of a fork: gives up what belongs to the parent."""
        self.forked = self.ended = True
        self.lock = threading.Lock()  # another thread may have held it
        self.space = threading.Condition(self.lock)
        self.thread = None
        if self.agent is not None:
            self.agent.drop()
        for work in (*self.flight.values(), *self._handing):
            work.release(False)
        if self.segments is not None:
            self.segments.close()
        self.flight.clear()
        self.maps.clear()
        self.backlog = Backlog()

    def lose_all(self) -> list[Work]:
        """Under the lock: takes out all jobs. Their futures are for the caller to end."""
        lost = [*self.flight.values(), *self._handing, *self.backlog.remove(lambda _: True)]
        self.flight.clear()
        self._handing = ()
        self._ahead = 0
        self.space.notify_all()
        self.counts["crashed"] += len(lost)
        return lost

    def release_all(self) -> None:
        """The agent is gone: what was only there for it goes too."""
        if self.init_lease is not None:
            self.init_lease.release(False)
        if self.segments is not None:
            self.segments.close()
        if self.run_file is not None:
            self.run_file.close(not self.terminated and self.broken is None)

    def cancel_pending(self) -> None:
        with self.lock:
            pending = self.backlog.remove(lambda work: not work.running)
            self.counts["cancelled"] += len(pending)
            self.space.notify_all()
        for work in pending:
            work.release(True)
            work.resolve(work.cancel)

    # ---- Under the lock

    def _check(self, of_map: bool) -> None:
        if self.forked:
            raise _ending.agent_failed("the pool belongs to another process: one that was forked cannot use it")()
        if self.broken is not None:
            raise self.broken()
        if of_map and not (self.terminated or self.draining):
            return
        if self.shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if _ending.is_exiting:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        if self.draining:  # a map whose executor has been dropped
            raise RuntimeError("cannot schedule new futures after shutdown")

    def _has_work(self) -> bool:
        return bool(self.flight or self.backlog.size or self._handing or self.maps)

    def _take_waiting(self, wanted: Callable[[Work], bool]) -> Work | None:
        found = self.backlog.remove(wanted)
        if not found:
            return None
        self._ahead -= found[0].running
        if self._bounded:
            self.space.notify_all()
        return found[0]

    def _say(self, what: Callable[[Connection], None]) -> None:
        if self.ready:
            what(self.connection)
            self.write()
        else:
            self._early.append(what)

    def _wait_for_space(self, of_map: bool) -> None:
        most = self.settings.max_pending
        if most is None or threading.current_thread() is self.thread:
            return  # in a callback it would wait for itself
        while self.backlog.size + len(self.flight) + len(self._handing) >= most:
            self.space.wait()
            self._check(of_map)

    def end_if_idle(self) -> None:
        if not (self.shut or self.collected or _ending.is_exiting) or self.draining or self.agent is None:
            return
        if not self._has_work():
            self.draining = True
            if self.ready:
                self.connection.drain()
                self.write()
            else:
                self.agent.hang_up()  # no worker has done anything: none has anything to end
