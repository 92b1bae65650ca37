"""Functions offered as tasks: how an input in JSON or raw bytes becomes arguments, and what they return a result.

Imports that take long are made when the first job needs them; so does the look at a function's parameters, which for the
same reason is done without `inspect`.
"""

import sys

from orchestrator import _wire
from orchestrator._serve import JobCancelled

registered: "dict[str, object]" = {}
"""All tasks of this process, by name."""

_VAR_POSITIONAL, _VAR_KEYWORD, _COROUTINE = 0x04, 0x08, 0x80  # of a code object's flags
_WHOLE_LISTS = ("list", "List", "tuple", "Tuple", "set", "Set", "Sequence", "Iterable", "Collection")
_CHECKED = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,), "list": (list,), "dict": (dict,)}


class Tasks:
    """What `_serve.Worker` asks of its tasks. `load` is called first in the worker's start: it may import what registers
    tasks."""

    build = "python %d.%d.%d" % sys.version_info[:3]
    exact_output = True

    def __init__(self, load=None):
        self._load = load
        self._tasks = []
        self.names = []

    def prepare(self, worker, init, remote):
        try:
            if self._load is not None:
                self._load()
            if not registered:
                raise SystemExit("no tasks: a function is one by the decorator orchestrator.worker.task")
        except BaseException as error:
            _end_of_start(error)
        self.names = list(registered)
        self._tasks = [_Task(name, function) for name, function in registered.items()]

    def add_blob(self, number, data, more):
        pass  # no input refers to any

    def run(self, task, encoding, data):
        if task >= len(self._tasks):
            return _wire.REJECTED, _wire.task_error(_wire.UNKNOWN_TASK, "no task %d" % task)
        return self._tasks[task].run(encoding, data)

    def has_failed(self, outcome, payload):
        return outcome != _wire.OK


def _end_of_start(error):
    import os
    import traceback

    status = 1
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else 1
        sys.stderr.write("%s\n" % error.code)
    else:
        traceback.print_exception(type(error), error, error.__traceback__)
    sys.stderr.flush()
    os._exit(status)


class _Refused(Exception):
    """The input does not fit the task."""


class _Task:
    def __init__(self, name, function):
        self._name, self._function, self._parameters = name, function, None

    def run(self, encoding, data):
        try:
            if self._parameters is None:
                self._parameters = _Parameters(self._function)
            args, kwargs = _arguments(self._parameters, encoding, data)
        except _Refused as refused:
            text = "cannot decode input of %r: %s" % (self._name, refused)
            return _wire.REJECTED, _wire.task_error(_wire.UNDECODABLE, text)
        try:
            value = self._function(*args, **kwargs)
            if self._parameters.is_coroutine:
                import asyncio

                value = asyncio.run(value)
        except JobCancelled:
            raise
        except BaseException as error:  # SystemExit too: a job does not end its worker
            return _wire.FAILED, _failure(error)
        try:
            return _wire.OK, (_to_json if encoding == _wire.JSON else _to_raw)(value)
        except (TypeError, ValueError, RecursionError) as error:
            return _wire.FAILED, _wire.task_error(_wire.UNENCODABLE, "result cannot be encoded: %s" % error)


def _arguments(parameters, encoding, data):
    if encoding == _wire.RAW:
        return parameters.for_raw(data)
    if encoding != _wire.JSON:
        raise _Refused("bincode is not understood here, JSON and raw bytes are")
    import json

    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _Refused(error) from None
    return parameters.for_value(value)


class _Parameters:
    """The parameters of a task's function. One that is not written in Python takes what comes."""

    def __init__(self, function):
        while hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        code = getattr(function, "__code__", None)
        self.is_coroutine = code is not None and bool(code.co_flags & _COROUTINE)
        self._known = code is not None
        if code is None:
            self._annotations = {}
            return
        keyword_from = code.co_argcount
        self._positional = code.co_varnames[:keyword_from]
        keyword_only = code.co_varnames[keyword_from : keyword_from + code.co_kwonlyargcount]
        self._by_name = self._positional[code.co_posonlyargcount :] + keyword_only
        optional = len(function.__defaults__ or ())
        self._required = self._positional[: keyword_from - optional]
        self._required_by_name = [name for name in keyword_only if name not in (function.__kwdefaults__ or {})]
        self._any_number = bool(code.co_flags & _VAR_POSITIONAL)
        self._any_name = bool(code.co_flags & _VAR_KEYWORD)
        try:
            annotations = function.__annotations__
        except NameError:  # 3.14 evaluates them only now
            annotations = {}
        self._annotations = {name: _name_of(annotation) for name, annotation in annotations.items()}

    def for_value(self, value):
        """(args, kwargs) for a JSON value: a list is the positional arguments, an object the keyword arguments if its names
        are parameters; all else is the only argument, as are a list or an object for a function whose only parameter is
        one."""
        only = self._positional[0] if self._known and len(self._positional) == 1 and not self._any_number else None
        wanted = self._annotations.get(only or "")
        if type(value) is list and not (wanted in _WHOLE_LISTS):
            return self._checked(value, {})
        if type(value) is dict and self._takes_names(value) and not (wanted == "dict" and only not in value):
            return self._checked([], value)
        if value is None and self._known and not self._positional and not self._any_number:
            return self._checked([], {})
        return self._checked([value], {})

    def for_raw(self, data):
        """(args, kwargs) for raw bytes: text if the parameter is annotated as such."""
        if self._known and not self._positional and not self._any_number and not data:
            return [], {}
        if self._known and self._positional and self._annotations.get(self._positional[0]) == "str":
            try:
                data = data.decode("utf-8")
            except UnicodeDecodeError as error:
                raise _Refused(error) from None
        return self._checked([data], {})

    def _takes_names(self, value):
        return self._known and (self._any_name or (bool(value) and all(name in self._by_name for name in value)))

    def _checked(self, args, kwargs):
        if not self._known:
            return args, kwargs
        if len(args) > len(self._positional) and not self._any_number:
            raise _Refused("%d arguments for %d parameters" % (len(args), len(self._positional)))
        given = set(self._positional[: len(args)]) | set(kwargs)
        missing = [name for name in (*self._required, *self._required_by_name) if name not in given]
        if missing:
            raise _Refused("no value for %s" % ", ".join(map(repr, missing)))
        for name, value in (*zip(self._positional, args), *kwargs.items()):
            types = _CHECKED.get(self._annotations.get(name, ""))
            if types and (not isinstance(value, types) or isinstance(value, bool) != (bool in types)):
                raise _Refused("%r is to be %s, not %.60r" % (name, self._annotations[name], value))
        return args, kwargs


def _name_of(annotation):
    """`list` for list, "list", list[int], typing.List[int] and "List[int]"."""
    if not isinstance(annotation, str):
        annotation = getattr(annotation, "_name", None) or getattr(annotation, "__name__", None) or ""
    name = annotation.partition("[")[0].rpartition(".")[2].strip()
    return {"Dict": "dict"}.get(name, name)


def _to_json(value):
    import json

    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")


def _to_raw(value):
    if value is None:
        return b""
    if isinstance(value, str):
        return value.encode("utf-8")
    return bytes(memoryview(value))  # not of numbers: bytes(3) is three zeros


def _failure(error):
    """A TaskError with the exception, where it was raised, and its causes."""
    chain, cause = [], error
    while cause is not None and len(chain) < 10:
        chain.append(_described(cause))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return _wire.task_error(_wire.ERROR, chain[0], _location(error.__traceback__), chain[1:])


def _described(error):
    try:
        text = str(error)
    except Exception:
        text = "<no text>"
    return "%s: %s" % (type(error).__name__, text) if text else type(error).__name__


def _location(traceback):
    if traceback is None:
        return None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return "%s:%d" % (traceback.tb_frame.f_code.co_filename, traceback.tb_lineno)
