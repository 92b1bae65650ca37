"""Jobs of a client: what is sent for them, and what their futures get.

A job holds on to its arguments until they are pickled, which is when the window has room for it: a thousand jobs that wait
with one large array hold one array. Once sent, only the function is kept, for its name in error messages.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import Future, InvalidStateError

from . import _payload, _wire
from ._parts import Violation

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from typing import Any, Callable

    from typing import Protocol

    from . import _segments
    from ._client import Client
    from ._sending import Sending
    from ._options import JobOptions

    class Named(Protocol):
        """A job, as far as errors tell of it."""

        job: int

        def name(self) -> str: ...

_loads = _payload.pickle.loads
_VALUE = bytes((_payload.VALUE,))


class Work:
    """A job from `submit` to the end of its future. Subclasses know what is sent and what the result means."""

    __slots__ = ("future", "fn", "options", "job", "data", "lease", "running")

    def __init__(self, future: Future[Any], fn: Callable[..., Any], options: JobOptions) -> None:
        self.future = future
        self.fn = fn
        self.options = options
        self.job = 0  # not sent yet
        self.data: bytes | None = None  # the encoded job, if that is done and it is not sent yet
        self.lease: _segments.Lease | None = None
        self.running = False  # whether its future says that it runs

    def encode(self, client: Sending) -> bytes:
        """The job's input; raises what pickling raises. Lets go of the arguments."""
        raise NotImplementedError

    def deliver(self, tag: int, value: Any, wall_us: int) -> None:
        """Gives the future what the worker has answered."""
        raise NotImplementedError

    def name(self) -> str:
        """The function, for people."""
        return name_of(self.fn)

    def answer(self, client: Client, data: bytes, wall_us: int) -> bool:
        """Ends the job with an Ok answer. False: its result could not be read."""
        try:
            tag, value = _payload.decode_result(data, self.lease)
        except BaseException as error:
            self.fail(unreadable(self, error))
            return False
        finally:
            if self.lease is not None:
                self.release(True)
        self.deliver(tag, value, wall_us)
        return True

    def fail(self, error: BaseException) -> None:
        """Ends the job with an error of ours."""
        try:
            self.future.set_exception(error)
        except InvalidStateError:
            pass  # somebody else has ended it: a cancelled one, or the user

    def fail_pickling(self, error: BaseException) -> None:
        """Ends a job of which no pickle could be made."""
        self.fail(not_pickled(error))

    def cancel(self) -> None:
        """Cancels a job that waits."""
        if self.future.cancel():
            self.future.set_running_or_notify_cancel()

    def begin(self) -> bool:
        """Says that it runs. False: it has been cancelled, or the user has ended it."""
        future = self.future
        if future.done() and not future.cancelled():
            return False
        try:
            return future.set_running_or_notify_cancel()
        except RuntimeError:
            return False  # just now

    def end_late(self) -> None:
        """Ends a job that has not started in time."""
        from ._errors import QueueTimeout

        if self.running or self.job or self.begin():
            self.fail(QueueTimeout(f"{self.name()} had not started after {self.options.queue_timeout:g} s"))

    def end_cancelled(self) -> None:
        """Ends a running job as cancelled, which the class of futures has no public way for."""
        future = self.future
        with future._condition:
            if future._state != "RUNNING":
                return
            future._state = "PENDING"
        future.cancel()
        future.set_running_or_notify_cancel()

    def release(self, clean: bool) -> None:
        """Gives back the job's segment."""
        lease, self.lease = self.lease, None
        if lease is not None:
            lease.release(clean)

    @staticmethod
    def resolve(what: Callable[..., None], *args: Any) -> None:
        """Calls what ends a future. What its callbacks raise harms nobody."""
        try:
            what(*args)
        except BaseException:
            report()


def name_of(fn: Any) -> str:
    """A function, for people."""
    while not hasattr(fn, "__qualname__") and hasattr(fn, "func"):
        fn = fn.func  # a partial
    return f"{getattr(fn, '__qualname__', type(fn).__qualname__)}()"


class Call(Work):
    """One call, of `submit`."""

    __slots__ = ("args", "kwargs")

    def __init__(
        self,
        future: Future[Any],
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: JobOptions,
    ) -> None:
        # Not by way of super(): this is a good part of what submit costs.
        self.future = future
        self.fn = fn
        self.args: tuple[Any, ...] | None = args
        self.kwargs: dict[str, Any] | None = kwargs
        self.options = options
        self.job = 0
        self.data = None
        self.lease = None
        self.running = False

    def encode(self, client: Sending) -> bytes:
        try:
            data, self.lease = client.encoder.call(self.fn, self.args, self.kwargs)
        finally:
            self.args = self.kwargs = None
        return data

    def answer(self, client: Client, data: bytes, wall_us: int) -> bool:
        # Most are small values that have come by the link; this is what reading them costs.
        if data[:1] != _VALUE or self.lease is not None or len(data) > 4096:
            return super().answer(client, data, wall_us)
        try:
            value = _loads(data[1:])
        except BaseException:
            return super().answer(client, data, wall_us)  # once more, for the error
        try:
            self.future.set_result(value)
        except InvalidStateError:
            pass  # the user has ended it
        return True

    def deliver(self, tag: int, value: Any, wall_us: int) -> None:
        try:
            if tag == _payload.VALUE:
                self.future.set_result(value)
            else:
                self.future.set_exception(raised(tag, value))
        except InvalidStateError:
            pass  # the user has ended it


def report() -> None:
    """Shows the exception that a future's callback has raised. The future logs what is an `Exception`; anything else must
    not end the thread that ends futures for all."""
    threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))


def raised(tag: int, value: Any) -> BaseException:
    """The exception of a RAISED or RAISED_TEXT answer."""
    if tag == _payload.RAISED:
        error: BaseException = value
        return error
    from ._errors import RemoteError

    name, text, traceback = value
    made: BaseException = _payload.with_cause(RemoteError(name, text), traceback)
    return made


def death(work: Named, outcome: int, number: int | None, payload: bytes) -> BaseException:
    """The error of a job whose answer is not Ok."""
    from . import _errors

    if outcome in (_wire.FAILED, _wire.REJECTED):
        try:
            message, _, chain, kind = _wire.parse_task_error(payload)
        except Violation:
            message, chain, kind = "the worker could not run it", [], _wire.ERROR
        text = ": ".join([message, *chain])
        refused: _errors.JobUnreadable | _errors.WorkerDied
        if kind == _wire.UNDECODABLE:
            refused = _errors.JobUnreadable(f"{work.name()}: {text}")
        else:
            refused = _errors.WorkerDied(text, name=work.name(), job=work.job)
        refused._outcome = outcome
        return refused
    try:
        reason, exit_code, signal, attempts, stderr = _wire.parse_death(payload)
    except Violation:
        reason, exit_code, signal, attempts, stderr = f"worker lost (outcome {outcome})", None, number, 1, b""
    kind_of_error = _errors.JobTimeout if outcome == _wire.TIMED_OUT else _errors.WorkerDied
    error = kind_of_error(
        reason,
        name=work.name(),
        job=work.job,
        exit_code=exit_code,
        signal=signal,
        attempts=attempts,
        stderr=stderr.decode("utf-8", "replace"),
    )
    error._outcome = outcome
    return error


def not_pickled(error: BaseException) -> BaseException:
    """An error of pickling as the standard library hands it over: its traceback is text, as its cause."""
    import traceback
    from concurrent.futures.process import _RemoteTraceback

    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    # Not by assignment: its class may forbid that, as frozen data classes do.
    BaseException.__cause__.__set__(error, _RemoteTraceback(f'\n"""\n{text}"""'))  # type: ignore[union-attr,arg-type]
    # Its frames would hold on to the arguments, and to us.
    return BaseException.with_traceback(error, None)


def unreadable(work: Named, error: BaseException) -> BaseException:
    from ._errors import ResultUnreadable

    wrapped = ResultUnreadable(f"the result of {work.name()} could not be unpickled: {type(error).__name__}: {_payload.text_of(error)}")
    wrapped.__cause__ = error.with_traceback(None)
    return wrapped
