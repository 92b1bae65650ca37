"""The worker of the Executor: it offers the task `call`, whose input names a Python function and its arguments."""

import sys
from itertools import starmap

from orchestrator import _payload, _segments, _serve, _wire
from orchestrator._serve import JobCancelled

try:
    from _pickle import loads
except ImportError:
    from pickle import loads


def main():
    """Serves the link on descriptors 0 and 1. Does not return."""
    _serve.Worker(Calls()).serve()


class Calls:
    """What `_serve.Worker` asks of its tasks."""

    build = "python %d.%d.%d" % sys.version_info[:3]
    exact_output = False  # the client shows what jobs print, whose ever it is

    def __init__(self):
        self.names = [_payload.TASK]
        self._neighbour = None
        self._functions = {}  # by number of blob
        self._blobs = {}  # those of which no function has been made yet: lists of pieces

    def prepare(self, worker, init, remote):
        """Takes over the client's surroundings, and runs the initializer. If that raises, the worker ends, as in the
        standard library."""
        if init is None:
            return
        preparation, neighbour, start = _payload.decode_init(init)
        if neighbour is not None and not remote:
            self._neighbour = neighbour
            if _segments.WORTHWHILE:
                self.names.append(_payload.SEGMENTS)
        from orchestrator import _prepare

        _prepare.apply(preparation, self._neighbour, worker)
        if start is None:
            return
        try:
            initializer, initargs = loads(start)
            initializer(*initargs)
        except BaseException as error:
            _complain(error, self._neighbour)

    def add_blob(self, number, data, more):
        self._blobs.setdefault(number, []).append(data)

    def run(self, task, encoding, data):
        if task != 0 or encoding != _wire.RAW:
            return _wire.REJECTED, _wire.task_error(_wire.UNKNOWN_TASK, "no task %d for this encoding" % task)
        try:
            segment = None
            if data[0] == _payload.CALL:
                function, args, kwargs = loads(data[9:])
            else:
                kind, blob, value, segment = _payload.decode_call(data, self._neighbour)
                if blob:
                    function = self._functions.get(blob) or self._make_function(blob)
                else:
                    function, *value = value
                    value = value[0] if kind >= _payload.CHUNK else value
                if kind >= _payload.CHUNK:
                    return _wire.OK, _run_chunk(function, kind, value, segment)
                args, kwargs = value
                del value
        except JobCancelled:
            raise
        except BaseException as error:
            return _undecodable(error)
        try:
            value = function(*args, **kwargs)
            del args, kwargs
            return _wire.OK, _payload.encode_value(value, segment)
        except BaseException as error:
            # Not by assignment: its class may forbid that, as frozen data classes do.
            BaseException.with_traceback(error, _of_user(error.__traceback__))
            return _wire.OK, _payload.encode_raised(error)

    def has_failed(self, outcome, payload):
        return outcome != _wire.OK or payload[:1] not in (b"\x00", b"\x80")

    def _make_function(self, number):
        function = self._functions[number] = loads(b"".join(self._blobs[number]))
        del self._blobs[number]
        return function


def _run_chunk(function, kind, value, segment):
    """The loop over the items is C's. What it has when an item raises, it has in the list."""
    results = []
    try:
        results.extend(map(function, *value) if kind >= _payload.COLUMNS else starmap(function, value))
    except BaseException as error:
        BaseException.with_traceback(error, _of_user(error.__traceback__))
        return _payload.encode_partial(results, error)
    del value
    return _payload.encode_results(results, segment)


def _complain(error, neighbour):
    """Ends this worker, whose initializer has raised. The client is told why, and standard error once: there may be other
    workers, and attempts."""
    import logging
    import os
    import traceback

    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    first = True
    if neighbour is not None:
        try:
            first = neighbour.complain("%s: %s" % (type(error).__name__, _payload.text_of(error)), text)
        except OSError:
            pass  # the client has gone
    if not first:
        os.write(2, b"Exception in initializer, as before\n")
    else:
        logging.getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=error)
    os._exit(1)


def _of_user(traceback):
    """Without the frame of this module."""
    return traceback.tb_next or traceback


def _undecodable(error):
    from orchestrator._prepare import NoGuard, has_main

    if type(error) is NoGuard:  # which says all that there is to say
        return _wire.REJECTED, _wire.task_error(_wire.UNDECODABLE, str(error))
    import traceback

    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    message = "cannot unpickle the job: %s: %s" % (type(error).__name__, _payload.text_of(error))
    if isinstance(error, AttributeError) and "__main__" in message and not has_main():
        message += (
            ": the program cannot be imported here, as it is an interactive session or the like; what it defines travels with"
            " the package cloudpickle installed"
        )
    return _wire.REJECTED, _wire.task_error(_wire.UNDECODABLE, message, None, [text])
