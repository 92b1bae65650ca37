"""Calls whose results are recorded in a run file, and found there."""

from __future__ import annotations

from . import _payload, _run_file, _work

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import Any, Callable

    from ._client import Client
    from ._options import JobOptions


class RecordedCall(_work.Call):
    """A call whose future gets its result when that is on the disk."""

    __slots__ = ("file", "record", "of_map")

    file: _run_file.RunFile
    record: int
    """The job's number in the file."""
    of_map: bool
    """Whether its future is a map's chunk: its result is ([result] or [], exception or None)."""

    def answer(self, client: Client, data: bytes, wall_us: int) -> bool:
        pickled = b""
        try:
            tag, value = _payload.decode_result(data, self.lease)
            if tag == _payload.VALUE:
                # What has come beside the link is not in it.
                pickled = data[1:] if data[0] == _payload.VALUE else _payload.dumps(value, None, True)
        except BaseException as error:
            self.fail(_work.unreadable(self, error))
            return False
        finally:
            self.release(True)
        if tag == _payload.VALUE:
            self.file.returned(self.record, pickled, wall_us, lambda lost: self._give(lost, value, None))
        else:
            raised = _work.raised(tag, value)
            self.file.failed(self.record, raised, True, wall_us, lambda lost: self._give(lost, None, raised))
        return True

    def fail(self, error: BaseException) -> None:
        self.file.failed(self.record, error, False, None, lambda lost: super(RecordedCall, self).fail(error))

    def _give(self, lost: str | None, value: Any, error: BaseException | None) -> None:
        if lost is not None:
            super().fail(_run_file.RunFileError(lost))
        else:
            give(self.future, self.of_map, value, error)


def give(future: Future[Any], of_map: bool, value: Any, error: BaseException | None) -> None:
    """Ends a future that runs."""
    from concurrent.futures import InvalidStateError

    try:
        if of_map:
            future.set_result(([], error) if error is not None else ([value], None))
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)
    except InvalidStateError:
        pass  # the user has ended it


def submit(
    client: Client,
    file: _run_file.RunFile,
    future: Future[Any],
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: JobOptions,
    of_map: bool = False,
    begun: bool = False,
) -> None:
    """As `Client.submit`, but what is recorded is not run. `begun`: it is of a map that began when there was no end in sight."""
    client.check(begun)
    try:
        record, pickled = file.enter(_work.name_of(fn), fn, args, kwargs)
    except _run_file.RunFileError:
        raise
    except Exception as error:  # of pickling
        client.count_failed()
        future.set_running_or_notify_cancel()
        give(future, False, None, _work.not_pickled(error))
        return
    if pickled is not None:
        try:
            value = _payload.loads(pickled, 0)
        except Exception:
            pass  # its class is gone or another one: it is run once more
        else:
            client.count_recorded()
            future.set_running_or_notify_cancel()
            give(future, of_map, value, None)
            return
    if client.new_call is None:
        client.start()
    call = RecordedCall(future, fn, args, kwargs, options)
    call.file, call.record, call.of_map = file, record, of_map
    client.submit(call, begun)
