"""Jobs of an `AsyncPool`: what is sent for them, and what they get."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from . import _encoder, _payload, _segments, _work
from ._chunk_size import ChunkSize
from ._options import JobOptions

if TYPE_CHECKING:
    from ._async_engine import Engine
    from ._run_file import RunFile


_VALUE = bytes((_payload.VALUE,))


class Job(asyncio.Future):  # type: ignore[type-arg]  # not subscriptable before Python 3.9
    """A job and its future in one: to cancel it is to cancel the job."""

    __slots__ = ("pool", "fn", "args", "kwargs", "options", "job", "lease")

    def __init__(
        self, pool: Engine, loop: asyncio.AbstractEventLoop, fn: Any, args: Any, kwargs: Any, options: JobOptions
    ) -> None:
        super().__init__(loop=loop)
        self.pool = pool
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.options = options
        self.job = 0  # not sent yet
        self.lease: _segments.Lease | None = None

    def name(self) -> str:
        """The function, for people."""
        return _work.name_of(self.fn)

    def release(self, clean: bool) -> None:
        """Gives back the job's segment."""
        lease, self.lease = self.lease, None
        if lease is not None:
            lease.release(clean)

    def cancel(self, *message: Any, **named: Any) -> bool:
        """Cancels the job: one that waits is never run, one that runs is ended."""
        if not super().cancel(*message, **named):
            return False
        self.args = self.kwargs = None
        if self.job:
            self.pool._cancel_running(self.job)
        return True

    def encode(self, encoder: _encoder.Encoder) -> bytes:
        fn, args, kwargs = self.fn, self.args, self.kwargs
        self.args = self.kwargs = None
        data, self.lease = encoder.call(fn, args, kwargs)
        return data

    def answer(self, data: bytes, wall_us: int) -> None:
        """Ends the future with an Ok answer."""
        # Most are small values that have come by the link.
        if data[:1] == _VALUE and self.lease is None and len(data) <= 4096:
            self.set_result(_payload.pickle.loads(data[1:]))
            return
        tag, value = _payload.decode_result(data, self.lease)
        if tag == _payload.VALUE:
            self.set_result(value)
        else:
            self.fail(_work.raised(tag, value))

    def fail(self, error: BaseException) -> None:
        """Ends the future with an error."""
        if self.done():
            return
        if isinstance(error, StopIteration):
            # A future refuses it: it would end whatever generator awaits it.
            wrapped = RuntimeError("the job raised StopIteration")
            wrapped.__cause__ = error
            error = wrapped
        self.set_exception(error)


class RecordedJob(Job):
    """One whose result is recorded in a run file, and given when that is on the disk."""

    __slots__ = ("file", "record")

    file: RunFile
    record: int

    def answer(self, data: bytes, wall_us: int) -> None:
        tag, value = _payload.decode_result(data, self.lease)
        if tag == _payload.VALUE:
            pickled = data[1:] if data[0] == _payload.VALUE else _payload.dumps(value, None, True)
            self.file.returned(self.record, pickled, wall_us, lambda lost: self._give_soon(lost, value, None))
        else:
            error = _work.raised(tag, value)
            self.file.failed(self.record, error, True, wall_us, lambda lost: self._give_soon(lost, None, error))

    def fail(self, error: BaseException) -> None:
        self.file.failed(self.record, error, False, None, lambda lost: self._give_soon(lost, None, error))

    def _give_soon(self, lost: str | None, value: Any, error: BaseException | None) -> None:
        try:
            self.get_loop().call_soon_threadsafe(self._give, lost, value, error)
        except RuntimeError:
            pass  # the loop has been closed, and nobody waits

    def _give(self, lost: str | None, value: Any, error: BaseException | None) -> None:
        if lost is not None:
            from ._run_file import RunFileError

            super().fail(RunFileError(lost))
        elif error is not None:
            super().fail(error)
        elif not self.done():
            self.set_result(value)


class Chunk(Job):
    """Some items of a map, as one job. Its result is (results, exception or None)."""

    __slots__ = ("blob", "size", "count")

    blob: int
    size: ChunkSize
    count: int

    def encode(self, encoder: _encoder.Encoder) -> bytes:
        columns: Any = self.args
        self.args = None
        data, self.lease = encoder.columns(self.fn, self.blob, columns)
        self.size.learn_bytes(self.count, len(data))
        return data

    def answer(self, data: bytes, wall_us: int) -> None:
        self.size.learn_time(self.count, wall_us)
        self.size.learn_bytes(self.count, len(data))
        tag, value = _payload.decode_result(data, self.lease)
        if tag == _payload.VALUE:
            self.set_result((value, None))
        elif tag == _payload.PARTIAL:
            results, exception, is_text = value
            kind = _payload.RAISED_TEXT if is_text else _payload.RAISED
            self.set_result((results, _work.raised(kind, exception)))
        else:
            self.set_result(([], _work.raised(tag, value)))
