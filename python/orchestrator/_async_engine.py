"""What an `AsyncPool` does in the event loop: its jobs, and its link to the agent.

All of it runs in the loop's thread, so that there is no lock.
"""

from __future__ import annotations

import asyncio
import os
import sys
import warnings
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Callable

from . import _agent, _client, _encoder, _ending, _payload, _prepare, _segments, _wire, _work
from ._async_job import Chunk, Job, RecordedJob
from ._connection import Bye, Connection, Done, Output, Ready, Recalled
from ._options import JobOptions, Settings
from ._window import Window

if TYPE_CHECKING:
    from ._run_file import RunFile

_MOST_PIECES = 64
_AT_ONCE = 256
"""Jobs that are pickled in one turn of the loop, before others have theirs."""
_EXIT_WAIT_S = 10.0


class Engine:
    """A pool without what programs see of it."""

    def __init__(self, settings: Settings, run_file: str | os.PathLike[str] | None = None) -> None:
        self._settings = settings
        self._run_file: RunFile | None = None
        if run_file is not None:
            from ._run_file import RunFile

            self._run_file = RunFile(run_file)
        self._window = Window(self._settings.workers)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._agent: _agent.Agent | None = None
        self._ready = False
        self._waiting: list[deque[Job]] = []  # by priority, the highest first
        self._flight: dict[int, Job] = {}
        self._flushing = False
        self._writing = False
        self._next_job = 1
        self._blobs: dict[bytes, int] = {}
        self._early: list[tuple[int, bytes]] = []
        self._closing = False
        self._terminated = False
        self._draining = False
        self._broken: Callable[[], BaseException] | None = None
        self._ended: asyncio.Future[None] | None = None

    # ---- Jobs

    def _take(
        self, kind: type[Job], fn: Any, args: Any, kwargs: Any, options: JobOptions, blob: int = 0, size: Any = None,
        count: int = 0,
    ) -> Any:
        if kind is Job and self._run_file is not None:
            return self._take_recorded(self._run_file, fn, args, kwargs, options)
        loop = self._loop
        if loop is None or self._agent is None:
            loop = self._start()
        elif asyncio._get_running_loop() is not loop:
            raise RuntimeError("the pool belongs to another event loop, or to one that does not run")
        if self._closing or self._broken is not None:
            raise self._refusal()
        job = kind(self, loop, fn, args, kwargs, options)
        if isinstance(job, Chunk):
            job.blob, job.size, job.count = blob, size, count
        queues = self._waiting
        if len(queues) == 1 and queues[0] and queues[0][0].options.priority == options.priority:
            queues[0].append(job)
        else:
            self._enqueue(job)
        if options.queue_timeout is not None:
            late = loop.call_later(options.queue_timeout, self._expire, job)
            job.add_done_callback(lambda _: late.cancel())  # it would keep the result until then
        if not self._flushing:
            self._flushing = True
            loop.call_soon(self._flush)
        return job

    def _take_recorded(self, file: RunFile, fn: Any, args: Any, kwargs: Any, options: JobOptions) -> Job:
        """As `_take`, but what is recorded is not run."""
        if self._closing or self._broken is not None:
            raise self._refusal()
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            raise RuntimeError("the pool belongs to another event loop, or to one that does not run")
        known = Job(self, loop, fn, args, kwargs, options)
        try:
            record, pickled = file.enter(known.name(), fn, args, kwargs)
        except Exception as error:
            if type(error).__name__ == "RunFileError":
                raise
            known.fail(_work.not_pickled(error))
            return known
        if pickled is not None:
            try:
                known.set_result(_payload.loads(pickled, 0))
                return known
            except Exception:
                pass  # its class is gone or another one: it is run once more
        job: RecordedJob = self._take(RecordedJob, fn, args, kwargs, options)
        job.file, job.record = file, record  # nothing is sent before the loop's next turn
        return job

    def _committed(self) -> None:
        """In the run file's thread: there is room again."""
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._flush_soon)
        except RuntimeError:
            pass  # the loop has been closed

    async def _close_run_file(self) -> None:
        if self._run_file is not None:
            # It waits for the disk. What it has given to futures meanwhile comes before this goes on.
            await asyncio.get_running_loop().run_in_executor(None, self._run_file.close, not self._terminated)

    def _refusal(self) -> BaseException:
        if self._broken is not None:
            return self._broken()
        return RuntimeError("cannot schedule new futures after shutdown")

    def _enqueue(self, job: Job) -> None:
        priority = job.options.priority
        at = 0
        while at < len(self._waiting) and self._waiting[at][0].options.priority > priority:
            at += 1
        if at == len(self._waiting) or self._waiting[at][0].options.priority != priority:
            self._waiting.insert(at, deque())
        self._waiting[at].append(job)

    def _next_waiting(self) -> Job | None:
        while self._waiting:
            queue = self._waiting[0]
            job = queue.popleft()
            if not queue:
                del self._waiting[0]
            if not job.done():
                return job
        return None

    def _flush_soon(self) -> None:
        if not self._flushing and self._loop is not None:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Sends what waits, as far as the window has room, and in the same write what else there is to say."""
        self._flushing = False
        entries: list[tuple[int, bytes]] = []
        options: JobOptions | None = None
        room = self._window.size - len(self._flight) if self._ready else 0
        if self._run_file is not None and self._run_file.is_full():
            room = 0
        if room > _AT_ONCE:
            room = _AT_ONCE
            self._flush_soon()
        while room > 0:
            job = self._next_waiting()
            if job is None:
                break
            try:
                data = job.encode(self._encoder)
            except BaseException as error:
                job.release(True)
                job.fail(_work.not_pickled(error))
                if not isinstance(error, Exception):
                    if entries:
                        self._connection.run(entries, options.wire)  # type: ignore[union-attr]
                    self._flush_soon()
                    raise
                continue
            if job.options is not options:
                if entries:
                    self._connection.run(entries, options.wire)  # type: ignore[union-attr]
                    entries = []
                options = job.options
            job.job = self._next_job
            self._next_job += 1
            self._flight[job.job] = job
            entries.append((job.job, data))
            room -= 1
        if entries:
            self._connection.run(entries, options.wire)  # type: ignore[union-attr]
        if self._connection.outgoing and not self._writing:
            self._write()
        if self._closing:
            self._drain_if_idle()

    def _cancel_running(self, job: int) -> None:
        if job in self._flight and not self._draining:
            self._connection.cancel(job)
            self._flush_soon()

    def _expire(self, job: Job) -> None:
        """The job should have started by now."""
        if job.done():
            return
        if not job.job:
            job.fail(self._late(job))
        elif job.job in self._flight:
            self._connection.recall([job.job])  # it may have started; the answer says so
            self._flush_soon()

    @staticmethod
    def _late(job: Job) -> BaseException:
        from ._errors import QueueTimeout

        return QueueTimeout(f"{job.name()} had not started after {job.options.queue_timeout:g} s")

    def _function_blob(self, fn: Callable[..., Any]) -> int:
        if self._agent is None:
            self._start()
        return self._encoder.function_blob(fn)

    def _new_blob(self, data: bytes) -> int | None:
        number = self._blobs.get(data)
        if number is None:
            if len(self._blobs) >= _client._MOST_BLOBS or sum(map(len, self._blobs)) + len(data) > _client._MOST_BLOB_BYTES:
                return None
            number = self._blobs[data] = len(self._blobs) + 1
            if self._ready:
                self._connection.blob(number, data)
            else:
                self._early.append((number, data))
        return number

    # ---- The link

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            raise RuntimeError("the pool belongs to another event loop")
        if self._closing or self._broken is not None:
            raise self._refusal()
        self._loop = loop
        if self._run_file is not None:
            self._run_file.committed = self._committed
        settings = self._settings
        preparation = _prepare.gather()
        self._segments = _segments.Segments()
        self._encoder = _encoder.Encoder(self._segments, self._new_blob)
        try:
            init, self._init_lease = _payload.encode_init(
                preparation, self._segments, settings.initializer, settings.initargs, _prepare.by_value()
            )
        except Exception as error:
            self._segments.close()
            self._broken = _ending.initializer_failed(f"the initializer cannot be pickled: {error}")
            raise self._broken() from error
        self._connection = Connection("python %d.%d.%d" % sys.version_info[:3], init)
        try:
            line = _agent.command_line(_agent.find_agent(), _prepare.worker_command(), settings)
            self._agent = _agent.start(line, _agent.environment(settings.workers))
        except OSError as error:
            self._give_back()
            raise _ending.agent_failed(f"the agent cannot be started: {error}")() from error
        self._agent.link.setblocking(False)
        self._descriptor = self._agent.link.fileno()
        self._ended = loop.create_future()
        loop.add_reader(self._descriptor, self._read)
        _pools.add(self)
        return loop

    def _write(self) -> None:
        assert self._agent is not None and self._loop is not None
        connection, link = self._connection, self._agent.link
        outgoing = connection.outgoing
        if not connection.greeted:
            return
        try:
            while outgoing:
                if len(outgoing) == 1:
                    connection.wrote(link.send(outgoing[0], _agent.WRITE))
                else:
                    connection.wrote(link.sendmsg(outgoing[:_MOST_PIECES], (), _agent.WRITE))
        except BlockingIOError:
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._descriptor, self._write)
            return
        except OSError:
            outgoing.clear()  # it has gone; what is read says so
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._descriptor)

    def _read(self) -> None:
        assert self._agent is not None
        reason = None
        try:
            data = self._agent.link.recv(self._connection.wanted)
            if data:
                self._take_in(data)
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        except _wire.Violation as error:
            reason = f"the program {self._agent.process.program} is no agent for this package: {error}"
        self._end(reason)

    def _take_in(self, data: bytes) -> None:
        assert self._agent is not None
        for event in self._connection.receive(data):
            if type(event) is Done:
                self._take_answers(event.answers)
            elif type(event) is Output:
                self._agent.print(event.stream, event.data)
            elif type(event) is Ready:
                self._begin(event)
            elif type(event) is Recalled:
                for number in event.jobs:
                    job = self._flight.pop(number)
                    job.release(False)
                    job.fail(self._late(job))
            elif type(event) is Bye:
                self._draining = True
        if self._waiting or self._connection.outgoing or self._closing:
            self._flush()

    def _begin(self, ready: Ready) -> None:
        self._segments.enabled = _payload.SEGMENTS in ready.tasks
        self._ready = True
        for number, blob in self._early:
            self._connection.blob(number, blob)
        self._early.clear()
        if self._window.workers != self._settings.workers:
            self._connection.resize(self._window.workers)
        self._flush_soon()

    def _take_answers(self, answers: list[tuple[int, int, int | None, int, bytes]]) -> None:
        flight, encoder = self._flight, self._encoder
        total = 0
        for number, outcome, signal, wall_us, payload in answers:
            total += wall_us
            job = flight.pop(number)
            if outcome == _wire.OK:
                if encoder.large_expected or len(payload) >= _segments.LARGE:
                    encoder.saw_result(len(payload))
                if not job.done():  # it is, if it was cancelled too late
                    try:
                        job.answer(payload, wall_us)
                    except BaseException as error:
                        job.fail(_work.unreadable(job, error))
                if job.lease is not None:
                    job.release(True)
            else:
                job.release(False)
                if outcome == _wire.CANCELLED:
                    job.cancel()
                elif not job.done():
                    job.fail(_work.death(job, outcome, signal, payload))
        if answers:
            self._window.learn(len(answers), total)

    # ---- End

    def _drain_if_idle(self) -> None:
        if self._closing and not self._draining and self._agent is not None and self._ready:
            if not self._flight and not self._waiting:
                self._draining = True
                self._connection.drain()
                if not self._writing:
                    self._write()

    def _end(self, reason: str | None) -> None:
        """The link has ended."""
        assert self._agent is not None and self._loop is not None and self._ended is not None
        self._loop.remove_reader(self._descriptor)
        if self._writing:
            self._loop.remove_writer(self._descriptor)
        self._agent.hang_up()
        self._agent.close()
        waiting: list[Job] = []
        while (job := self._next_waiting()) is not None:
            waiting.append(job)
        lost = [*self._flight.values(), *waiting]
        self._flight.clear()
        if not self._terminated and (lost or reason is not None or not (self._closing and self._draining)):
            # Why it has ended is known once it has been reaped; it ends right behind its link.
            status = self._agent.process.poll()
            self._broken = _ending.why(
                reason, status, self._ready, self._connection, self._segments, self._agent, self._settings.initializer is not None
            )
        for job in lost:
            job.release(False)
            job.fail(self._broken() if self._broken is not None else _ending.terminated())
        self._give_back()
        if not self._ended.done():
            self._ended.set_result(None)

    def _give_back(self) -> None:
        if self._init_lease is not None:
            self._init_lease.release(False)
        for job in self._flight.values():
            job.release(False)
        self._segments.close()

    async def _reap(self) -> None:
        """Waits for the end of the agent, whose link has ended. Its workers have ended before it."""
        assert self._agent is not None
        process = self._agent.process
        pause, waited = 0.0005, 0.0
        while process.poll() is None:
            if waited > _EXIT_WAIT_S:
                process.kill()
            await asyncio.sleep(pause)
            waited += pause
            pause = min(pause * 2, 0.05)

    def _forget(self) -> None:
        """In the child of a fork: gives up what belongs to the parent."""
        self._broken = _ending.agent_failed("the pool belongs to another process: one that was forked cannot use it")
        if self._agent is not None:
            self._agent.drop()
            self._give_back()

    def __del__(self) -> None:
        agent: _agent.Agent | None = self.__dict__.get("_agent")
        if agent is not None and agent.process.returncode is None and agent.link.fileno() >= 0:
            warnings.warn(f"a pool was not closed: {self!r}", ResourceWarning, source=self)
            agent.hang_up()
            agent.close()
            self._give_back()


def _forget_all() -> None:
    for pool in list(_pools):
        pool._forget()


_pools: weakref.WeakSet[Engine] = weakref.WeakSet()
"""Those that were started in this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
