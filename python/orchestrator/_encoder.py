"""How calls become the inputs of jobs: what is pickled how, and what goes beside the link."""

from __future__ import annotations

import sys
from types import BuiltinFunctionType, FunctionType

from . import _payload, _prepare, _segments

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from typing import Any, Callable

_dumps = _payload.pickle.dumps
_BY_VALUE_WORTH = 512
"""From this size on, a function is sent as a blob: once per worker instead of with every job."""
_modules = sys.modules
_TRACKER = "multiprocessing.resource_tracker"
_REFUSED = (_payload.pickle.PicklingError, AttributeError, TypeError)
_PLAIN = frozenset((int, float, bool, str, bytes, type(None)))

# Typed.
_encode_call: Callable[..., tuple[bytes, _segments.Lease | None]] = _payload.encode_call


class Encoder:
    """Turns calls into inputs."""

    def __init__(self, segments: _segments.Segments, new_blob: Callable[[bytes], int | None]) -> None:
        self.segments = segments
        self._new_blob = new_blob
        self.large_expected = 0
        """Jobs that are looked through for large buffers before they are pickled, since one before them was large."""
        self._by_name: dict[Callable[..., Any], int] = {}
        self._by_value = _prepare.by_value()

    def call(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> tuple[bytes, _segments.Lease | None]:
        """The input of one call. Functions that pickle writes as a name are sent once, as a blob: to look the name up is
        most of what a small job costs here, and a good part of what it costs in the worker."""
        if _TRACKER in _modules:
            self._show_tracker()
        kind = type(fn)
        if kind is FunctionType or kind is BuiltinFunctionType:
            blob = self._by_name.get(fn)
            if blob is None:
                blob = self._blob_of_name(fn)
            if blob:
                if not kwargs and not self.large_expected and _PLAIN.issuperset(map(type, args)):
                    # No reducer that a program has registered is for these.
                    data = _payload.HEAD.pack(_payload.CALL_BLOB, blob) + _dumps((args, kwargs), 5)
                    if len(data) < _segments.LARGE:
                        return data, None
                return self.encode(_payload.CALL_BLOB, blob, (args, kwargs))
        if self._by_value == "main" and getattr(fn, "__module__", None) == "__main__":
            return self._with_blob(fn, (args, kwargs))
        return self.encode(_payload.CALL, 0, (fn, args, kwargs))

    def _blob_of_name(self, fn: Callable[..., Any]) -> int:
        """The blob of a function of a module; 0 for all others, and when there are too many."""
        module = sys.modules.get(getattr(fn, "__module__", None) or "")
        if module is None or getattr(module, fn.__qualname__, None) is not fn:
            return 0  # a method, a closure, a lambda: not to be kept
        if self._by_value == "main" and module.__name__ == "__main__":
            return 0
        number = self._by_name[fn] = self._new_blob(_payload.encode_blob(fn)) or 0
        return number

    def columns(
        self, fn: Callable[..., Any], blob: int, columns: list[list[Any]]
    ) -> tuple[bytes, _segments.Lease | None]:
        """The input of a chunk of `map`; `blob` from `function_blob`."""
        if _TRACKER in _modules:
            self._show_tracker()
        if blob:
            return self.encode(_payload.COLUMNS_BLOB, blob, columns)
        return self.encode(_payload.COLUMNS, 0, (fn, columns))

    def function_blob(self, fn: Callable[..., Any]) -> int:
        """The number of the function's blob, if it is better sent so; otherwise, and if it has no pickle, 0."""
        try:
            data = _payload.encode_blob(fn, self._by_value)
        except Exception:
            return 0  # the jobs will say so
        # What pickle writes as a name alone is short.
        return self._new_blob(data) or 0 if len(data) >= _BY_VALUE_WORTH or b"cloudpickle" in data else 0

    def encode(self, kind: int, blob: int, value: Any) -> tuple[bytes, _segments.Lease | None]:
        """As `_payload.encode_call`. Looking for large buffers costs as much as pickling a small job: it is done for
        jobs that turn out to be large, and for those that follow one."""
        if self.large_expected > 0:
            self.large_expected -= 1
            return self._encode_large(kind, blob, value)
        # This is `encode_call` for a small value.
        table = _payload._reducers()
        try:
            pickled = _dumps(value, 5) if table is None else _payload._dumps_with(table, value, None)
        except _REFUSED as error:
            return self._retry(error, kind, blob, value)
        if len(pickled) >= _segments.LARGE and self.segments.enabled:
            self.large_expected = 64
            return self._encode_large(kind, blob, value)
        if self._by_value == "main" and b"__main__" in pickled:
            return self._encode_large(kind, blob, value)
        return _payload.HEAD.pack(kind, blob) + pickled, None

    def _encode_large(self, kind: int, blob: int, value: Any) -> tuple[bytes, _segments.Lease | None]:
        try:
            return _encode_call(kind, blob, value, self.segments, self._by_value == "main" and "main")
        except _REFUSED as error:
            return self._retry(error, kind, blob, value)

    def saw_result(self, size: int) -> None:
        """Tells the size of a result that came by the link."""
        if size >= _segments.LARGE:
            self.large_expected = 64
        if self.large_expected:
            self.segments.saw_result(size)

    def _show_tracker(self) -> None:
        """Workers use this process's resource tracker. One of their own would remove shared memory when they end."""
        tracker = _modules[_TRACKER]._resource_tracker
        if tracker._fd is None:
            if "multiprocessing.shared_memory" not in _modules:
                return
            tracker.ensure_running()  # a job may be the first to make some
        self.segments.show_tracker(tracker._fd)

    def _retry(self, error: Exception, kind: int, blob: int, value: Any) -> tuple[bytes, _segments.Lease | None]:
        if _payload._cloudpickle() is None:
            if hasattr(error, "add_note"):
                error.add_note("With the package cloudpickle installed, lambdas and closures can be sent as well.")
            raise error
        try:
            if kind == _payload.CALL:
                return self._with_blob(value[0], value[1:])
            return _encode_call(kind, blob, value, self.segments, self._by_value)
        except Exception:
            raise error from None  # it says more to somebody who knows pickle

    def _with_blob(self, fn: Callable[..., Any], rest: Any) -> tuple[bytes, _segments.Lease | None]:
        """A call of a function that travels by value: once."""
        blob = self._new_blob(_payload.encode_blob(fn, self._by_value))
        if blob is None:
            return _encode_call(_payload.CALL, 0, (fn, *rest), self.segments, self._by_value)
        return _encode_call(_payload.CALL_BLOB, blob, rest, self.segments, self._by_value)
