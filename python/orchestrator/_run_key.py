"""What a call is known by in a run file: its function and its arguments, by content.

Two calls that mean the same have to give the same bytes in every run of a program. So functions count by name and code (not
by the line where they stand), sets without their order, and equal objects whether or not they are one. Where that cannot
be told, a call is at worst another one, and is run again.
"""

from __future__ import annotations

import copyreg
import io
from functools import partial
from hashlib import blake2b
from types import CodeType, FunctionType, MethodType

from . import _payload

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from types import CellType
    from typing import Any, Callable

_PLAIN = frozenset((int, float, bool, str, bytes, type(None), complex))
_USUAL = object.__reduce_ex__, object.__reduce__
_MOST_SHOWN = 120


class Keys:
    """Makes keys; functions are looked at once."""

    def __init__(self) -> None:
        self._functions: dict[Callable[..., Any], bytes] = {}

    def key(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """The key of a call. Raises what pickle raises for an argument that it refuses."""
        try:
            return self._key(fn, args, kwargs)
        except RecursionError:  # something holds itself
            return _digest(_payload.dumps((fn, args, kwargs), None, True))

    def _key(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        function = self._functions.get(fn) if type(fn) is FunctionType else None
        if function is None:
            function = content(fn)
            if type(fn) is FunctionType and fn.__closure__ is None and len(self._functions) < 1000:
                self._functions[fn] = function
        return _digest(function + content(args) + content(kwargs))


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


def content(value: Any) -> bytes:
    """Bytes that are the same for the same content."""
    kind: Any = type(value)
    if kind in _PLAIN:
        text = value if kind is bytes else str.encode(value, "utf-8", "surrogatepass") if kind is str else repr(value).encode()
        return _tagged(kind.__name__, text)
    if kind is tuple or kind is list:
        return _tagged(kind.__name__, b"".join(map(content, value)))
    if kind is dict:
        return _tagged("dict", b"".join([content(name) + content(of) for name, of in value.items()]))
    if kind is set or kind is frozenset:
        return _tagged(kind.__name__, b"".join(sorted(map(content, value))))
    if kind is FunctionType:
        return _tagged("function", _function(value))
    if kind is MethodType:
        return _tagged("method", content(value.__func__) + content(value.__self__))
    if kind is partial:
        return _tagged("partial", content((value.func, value.args, value.keywords)))
    if kind is CodeType:
        return _tagged("code", _code(value))
    if (kind.__reduce_ex__, kind.__reduce__) == _USUAL and not isinstance(value, type):
        return _tagged("object", _object(value))
    return _tagged("pickle", _pickled(value))


def _tagged(kind: str, data: bytes) -> bytes:
    return b"%b %d:%b" % (kind.encode(), len(data), data)


def _function(fn: FunctionType) -> bytes:
    parts = [fn.__module__, fn.__qualname__, fn.__code__, fn.__defaults__, fn.__kwdefaults__]
    return b"".join(map(content, parts)) + b"".join(map(_cell, fn.__closure__ or ()))


def _cell(cell: CellType) -> bytes:
    try:
        return content(cell.cell_contents)
    except RecursionError:
        raise
    except Exception:
        return b"?"  # empty, or without a pickle, which a decorator's may be that is found by the function's name


def _code(code: CodeType) -> bytes:
    # Its interned constants and names, and not where it stands. Python's own version is in the instructions.
    return content((code.co_code, code.co_consts, code.co_names, code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]))


def _object(value: Any) -> bytes:
    """An object of a class that says nothing about pickling, by its class and what is in it."""
    if type(value) in copyreg.dispatch_table or type(value) in (_payload._reducers() or ()):
        return _pickled(value)
    try:
        _, args, state, items, pairs = (*value.__reduce_ex__(4), None, None, None)[:5]
    except TypeError:
        return _pickled(value)  # it has none, and says so
    return content((args, state, items and list(items), pairs and list(pairs)))


def _pickled(value: Any) -> bytes:
    file = io.BytesIO()
    pickler = _payload.pickle.Pickler(file, 5)
    table = _payload._reducers()
    if table is not None:
        pickler.dispatch_table = table
    pickler.fast = True  # nothing is written as "the same as before", which depends on who has made it
    try:
        pickler.dump(value)
    except Exception:
        return _payload.dumps(value, None, True)  # it holds itself, or is nothing for plain pickle
    return file.getvalue()


def label(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """A call, for people, in one line that is not too long."""
    words = [_shown(value) for value in args[:20]] + [f"{key}={_shown(value)}" for key, value in list(kwargs.items())[:20]]
    text = f"{name[:-2]}({', '.join(words)})"
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"


def _shown(value: Any) -> str:
    if type(value) in (str, bytes):
        return repr(value if len(value) <= _MOST_SHOWN else value[:_MOST_SHOWN])
    if type(value) in _PLAIN:
        return repr(value) if type(value) is not int or value.bit_length() < 256 else "<int>"
    if isinstance(value, (type, FunctionType)):
        return value.__qualname__
    return f"<{type(value).__name__}>"
