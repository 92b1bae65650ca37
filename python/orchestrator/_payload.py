"""What a `call` job's input and result hold, and the data of Init: encoding and decoding, for client and worker.

All integers are little-endian, all pickles protocol 5.

    input   u8 kind | u64 blob | [reference] | pickle
    result  u8 tag | [u32 index] | [buffers] | pickle

    kind 0  (fn, args, kwargs)       CALL           1  (args, kwargs)  the same, fn is the blob's object
         2  (fn, items)              CHUNK          3  items           results of fn(*item), in a list
         4  (fn, columns)            COLUMNS        5  columns         results of fn(*row) for the rows of the columns
    tag  0  value                    VALUE
         1  (exception, traceback)   RAISED         the function raised it, or the value has no pickle
         2  (name, text, traceback)  RAISED_TEXT    an exception that has no pickle, or cannot be made from its own
         3  (results, exception, traceback)  PARTIAL: item `index` of a chunk raised it; (name, text) for an exception
                                     of the kind of tag 2

With bit 7 of kind or tag set, large buffers lie in a segment (`_segments`): a reference or list of lengths says where.
A blob is the pickle of a function, which then is made once per worker. Anything that cannot be unpickled, input or blob,
is the job's answer Rejected with a TaskError Undecodable.
"""

import struct
import sys

from orchestrator import _segments

try:
    import _pickle as pickle  # the module around it takes longer to import than the rest of a worker's start
except ImportError:
    import pickle  # type: ignore[no-redef]

CALL, CALL_BLOB, CHUNK, CHUNK_BLOB, COLUMNS, COLUMNS_BLOB = range(6)
VALUE, RAISED, RAISED_TEXT, PARTIAL = range(4)

TASK = "call"
SEGMENTS = "segments"
"""A worker that sees the client's segments offers a task of this name as well, which nobody runs."""

_PROTOCOL = 5
_BESIDE = 0x80  # in kind or tag
HEAD = struct.Struct("<BQ")
_U32 = struct.Struct("<I")
_PLAIN_CALL = HEAD.pack(CALL, 0)
_VALUE = bytes((VALUE,))


# ---- Pickling


def dumps(value, buffers=None, by_value: "bool | str" = False):
    """The pickle of a value. Large buffers are appended to the list `buffers` instead, if there is one. `by_value`: what
    plain pickle refuses (lambdas, closures) is left to cloudpickle if that is installed; otherwise, and if that fails as
    well, the error is plain pickle's. With `"main"`, so is what names the main module: it cannot be imported elsewhere."""
    keep = None if buffers is None else _keeper(buffers)
    table = _reducers()
    try:
        data = pickle.dumps(value, _PROTOCOL, buffer_callback=keep) if table is None else _dumps_with(table, value, keep)
    except (pickle.PicklingError, AttributeError, TypeError):
        cloudpickle = _cloudpickle() if by_value else None
        if cloudpickle is None:
            raise
        if buffers:
            buffers.clear()
        try:
            return cloudpickle.dumps(value, _PROTOCOL, buffer_callback=keep)
        except Exception:
            pass  # the first error says more to somebody who knows pickle
        raise
    cloudpickle = _cloudpickle() if by_value == "main" and b"__main__" in data else None
    if cloudpickle is None:
        return data
    if buffers:
        buffers.clear()
    return cloudpickle.dumps(value, _PROTOCOL, buffer_callback=keep)


def loads(data, at, buffers=()):
    """The value of the pickle that begins at `at`."""
    return pickle.loads(memoryview(data)[at:] if len(data) > 4096 else data[at:], buffers=buffers)


def _keeper(buffers):
    def keep(buffer):
        try:
            raw = buffer.raw()
        except BufferError:
            return True
        if raw.nbytes < _segments.LARGE:
            return True  # in band
        buffers.append(raw)
        return False

    return keep


def _cloudpickle():
    try:
        import cloudpickle  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        return None
    return cloudpickle


# Reducers that programs have registered with multiprocessing count, as they do for its own pools. For the types below plain
# pickle does the same in C; most processes have registered nothing else, or nothing at all.
_table = None
_table_of: "tuple[dict, dict]" = ({}, {})
_idle_picklers: "list[tuple]" = []


def _reducers():
    """The table of all reducers, or None: plain pickle knows them all."""
    reduction = sys.modules.get("multiprocessing.reduction")
    if reduction is None:
        return None
    try:
        registered = reduction.ForkingPickler._extra_reducers
    except AttributeError:
        return None  # it is just being imported
    import copyreg

    global _table, _table_of
    if (registered, copyreg.dispatch_table) != _table_of:
        found = dict(registered), dict(copyreg.dispatch_table)
        table = {**found[1], **found[0]}
        for name in ("_reduce_method", "_reduce_method_descriptor", "_reduce_partial"):
            plain = getattr(reduction, name, None)
            table = {of: reduce for of, reduce in table.items() if reduce is not plain}
        _idle_picklers.clear()
        _table = table
        _table_of = found  # last: it is what other threads look at
    return _table


def _dumps_with(table, value, keep):
    """As `pickle.dumps`, by a pickler that is used again: to make one costs as much as to use it."""
    try:
        pickler, file, used = _idle_picklers.pop() if keep is None else _new_pickler(table, keep)
    except IndexError:
        pickler, file, used = _new_pickler(table, None)
    if used is not table:
        pickler, file, used = _new_pickler(table, keep)
    pickler.dump(value)
    data = file.getvalue()
    if keep is None and len(data) < 65536 and len(_idle_picklers) < 4:
        pickler.clear_memo()
        file.seek(0)
        file.truncate()
        _idle_picklers.append((pickler, file, table))
    return data


def _new_pickler(table, keep):
    import io

    file = io.BytesIO()
    pickler = pickle.Pickler(file, _PROTOCOL, buffer_callback=keep)
    pickler.dispatch_table = table
    return pickler, file, table


# ---- Inputs


def encode_blob(function, by_value: "bool | str" = False):
    """The data of a function's blob."""
    return dumps(function, None, by_value)


def encode_call(kind, blob, value, segments=None, by_value: "bool | str" = False):
    """A job's input, and its lease of a segment or None. `value` is what the kind's pickle holds. Raises what pickle raises.
    The lease has to be released when the job has ended, however."""
    if segments is None or not segments.enabled:
        data = dumps(value, None, by_value) if by_value or _reducers() is not None else pickle.dumps(value, _PROTOCOL)
        return (_PLAIN_CALL if kind == CALL else HEAD.pack(kind, blob)) + data, None
    buffers: "list[object]" = []
    pickled = dumps(_with_borrowed(kind, value), buffers, by_value)
    lease = segments.lease(buffers)
    if lease is None:
        if buffers:
            pickled = dumps(value, None, by_value)
        return HEAD.pack(kind, blob) + pickled, None
    return b"".join((HEAD.pack(kind | _BESIDE, blob), lease.reference(), pickled)), lease


def _with_borrowed(kind, value):
    """The same value, with large `bytes` arguments made ready to travel beside the pickle."""
    if kind == CALL:
        function, args, kwargs = value
        return function, _borrowed(args), _borrowed_values(kwargs)
    if kind == CALL_BLOB:
        return _borrowed(value[0]), _borrowed_values(value[1])
    if kind in (CHUNK, COLUMNS):
        return value[0], [_borrowed(part) for part in value[1]]
    return [_borrowed(part) for part in value]


def _borrowed(values):
    # Items of a long chunk are of one kind, and small: the first tells.
    if len(values) > 16 and not _is_large(values[0]) or not any(map(_is_large, values)):
        return values
    return type(values)(_segments.Borrowed(value) if _is_large(value) else value for value in values)


def _borrowed_values(kwargs):
    if not kwargs or not any(map(_is_large, kwargs.values())):
        return kwargs
    return {name: _segments.Borrowed(value) if _is_large(value) else value for name, value in kwargs.items()}


def _is_large(value):
    return type(value) is bytes and len(value) >= _segments.LARGE


def decode_call(data, neighbour):
    """(kind, blob, what the pickle holds, the job's open segment or None)"""
    kind, blob = HEAD.unpack_from(data)
    if kind < _BESIDE:
        return kind, blob, pickle.loads(data[9:] if len(data) < 4096 else memoryview(data)[9:]), None
    segment = _segments.OpenSegment(neighbour, data, 9)
    return kind - _BESIDE, blob, loads(data, 9 + segment.size(), segment.read()), segment


# ---- Results


def encode_value(value, segment=None):
    """The result of a function that returned. Raises what pickle raises."""
    if segment is None:
        if _reducers() is None:
            try:
                return _VALUE + pickle.dumps(value, _PROTOCOL)
            except (pickle.PicklingError, AttributeError, TypeError):
                pass  # once more, with everything that may help
        return _VALUE + dumps(value, None, _may_be_foreign())
    buffers: "list[object]" = []
    if _is_large(value):
        borrowed = _segments.Borrowed(value)
    else:
        borrowed = _borrowed(value) if type(value) in (list, tuple) and value else value
    pickled = dumps(borrowed, buffers, _may_be_foreign())
    if not buffers:
        return _VALUE + pickled
    try:
        return b"".join((bytes((VALUE | _BESIDE,)), segment.write(buffers), pickled))
    except OSError:  # no memory for it there
        return _VALUE + dumps(value, None, _may_be_foreign())


def _may_be_foreign():
    """Whether objects may be of classes that came by value. Only then is cloudpickle right for a result: its classes find
    back to their originals."""
    return "cloudpickle" in sys.modules


def encode_raised(exception):
    """The result of a function that raised."""
    kind, data = _pickle_exception(exception, _traceback_text(exception), None)
    return bytes((kind,)) + data


def encode_results(results, segment=None):
    """The result of a whole chunk. If one of its values has no pickle, that item counts as the one that raised."""
    try:
        return encode_value(results, segment)
    except BaseException as error:
        for index, result in enumerate(results):
            try:
                dumps(result, None, _may_be_foreign())
            except BaseException as error_of_one:
                return encode_partial(results[:index], error_of_one)
        return encode_raised(error)


def encode_partial(results, exception):
    """The result of a chunk of which the item behind these results raised."""
    text = _traceback_text(exception)
    try:
        return bytes((PARTIAL,)) + _U32.pack(len(results)) + _pickle_exception(exception, text, results)[1]
    except BaseException:
        # What comes first has no pickle, and that is what happened first. It is shorter: this ends.
        return encode_results(results)


def _traceback_text(exception):
    import traceback

    lines = traceback.format_exception(type(exception), exception, exception.__traceback__)
    # Not by assignment, which its class may forbid. Its frames hold on to everything.
    BaseException.with_traceback(exception, None)
    return '\n"""\n%s"""' % "".join(lines)


def _pickle_exception(exception, text, results):
    """(RAISED or RAISED_TEXT, pickle)"""
    before = () if results is None else (results,)
    try:
        data = dumps(before + (exception, text), None, _may_be_foreign())
        # An exception whose class wants other arguments than it passes on has a pickle of which none can be made.
        if type(loads(data, 0)[-2]) is type(exception):
            return RAISED, data
    except BaseException:
        pass
    described = type(exception).__name__, text_of(exception)
    return RAISED_TEXT, dumps(described + (text,) if results is None else (results, described, text))


def text_of(exception):
    """Its text, whatever its class makes of that."""
    try:
        return str.__str__(str(exception))
    except BaseException as error:
        return "<%s in its __str__>" % type(error).__name__


def decode_result(data, lease=None):
    """(tag, value) of an Ok answer; the lease is released by the caller.

    VALUE: the value. RAISED: the exception, its cause being the remote traceback. RAISED_TEXT: (class name, text, traceback
    text). PARTIAL: (results, what one of the two above would give, and whether it is of the second kind).

    Raises whatever unpickling raises."""
    tag = data[0]
    if tag == VALUE:
        return VALUE, loads(data, 1)
    if tag == VALUE | _BESIDE:
        lengths, at = _segments.parse_lengths(data, 1)
        if lease is None:
            raise ValueError("a result beside the link, for a job without a lease")
        return VALUE, loads(data, at, lease.read(lengths))
    if tag == RAISED:
        return RAISED, with_cause(*loads(data, 1))
    if tag == RAISED_TEXT:
        return RAISED_TEXT, loads(data, 1)
    if tag == PARTIAL:
        results, exception, text = loads(data, 5)
        if type(exception) is tuple:
            return PARTIAL, (results, exception + (text,), True)
        return PARTIAL, (results, with_cause(exception, text), False)
    raise ValueError("no such result: %d" % tag)


def with_cause(exception, text):
    """The exception with a traceback that was only text as its cause, as the standard library shows it."""
    from concurrent.futures.process import _RemoteTraceback

    BaseException.__dict__["__cause__"].__set__(exception, _RemoteTraceback(text))  # as above
    return exception


# ---- Init


def encode_init(preparation, segments=None, initializer=None, initargs=(), by_value: "bool | str" = False):
    """(data of Init, its lease or None, to be released, not clean, when the pool ends). `preparation` comes from `_prepare.gather`.
    Raises what pickle raises for the initializer."""
    start = None if initializer is None else dumps((initializer, tuple(initargs)), None, by_value)
    content = {"preparation": preparation, "board": segments and segments.address(), "initializer": start}
    data = dumps(content)
    lease = None
    if len(data) > 1_000_000:  # more than the one frame that there is
        lease = segments and segments.address() and segments.lease_for_init(start or b"")
        if not lease:
            raise ValueError("initargs of %d bytes are too large for this system" % len(data))
        content["initializer"] = lease.reference()
        content["beside"] = True
        data = dumps(content)
    return data, lease


def decode_init(data):
    """(preparation, the neighbour or None, (initializer, initargs) as pickle bytes or None)"""
    content = loads(data, 0)
    board = content["board"]
    neighbour = _segments.Neighbour(board) if board else None
    if neighbour is not None and not neighbour.visible:
        neighbour = None
    start = content["initializer"]
    if content.get("beside"):
        if neighbour is None:
            raise OSError("large initargs lie in the client's memory, which is not within reach")
        start = _segments.OpenSegment(neighbour, start, 0).read()[0]
    return content["preparation"], neighbour, start
