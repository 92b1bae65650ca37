"""A worker's first act: it takes descriptors 0 and 1 for the protocol, out of the way of everybody else's code.

Such code finds /dev/null on 0 and, on 1, a pipe whose other end is the worker's: what Python, C or a child process print
there becomes output messages. Descriptor 2 is left as it is: what a dying process says there outlives it.
"""

import io
import os
import sys

_F_SETPIPE_SZ = 1031
_CAPTURE_SIZE = 1 << 20


class Stdio:
    """The descriptors of the link, and the end of the pipe where what is printed arrives."""

    def __init__(self):
        sys.stdout.flush()  # what the program printed before it became a worker comes before the greeting
        self.link_in, self.link_out = os.dup(0), os.dup(1)
        for descriptor in (self.link_in, self.link_out):
            os.set_blocking(descriptor, True)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.close(null)
        self.capture, write_end = os.pipe()
        os.set_blocking(self.capture, False)
        _enlarge(write_end)
        os.dup2(write_end, 1)
        # The other write end stays open: a job may close its descriptor 1, and that must not look like something to read.
        self._printer = write_end
        if os.getpgrp() != os.getpid():
            os.setsid()
        self.printed = _Printed(io.FileIO(1, "w", closefd=False))
        old = sys.stdout
        sys.stdout = sys.__stdout__ = io.TextIOWrapper(  # type: ignore[misc]
            self.printed, encoding=old.encoding, errors=old.errors, line_buffering=True, write_through=True
        )
        if sys.version_info < (3, 9):
            sys.stderr.reconfigure(line_buffering=True)  # as later versions do by themselves

    def flush(self):
        """Passes on a line without an end. The worker calls this where waiting harms nobody: it may have to."""
        if self.printed.dirty:
            self.printed.dirty = False
            try:
                self.printed.flush()
            except ValueError:
                pass  # the job has closed its stdout

    def close_in_child(self):
        """In a forked child of a job: the link is not its own, and has to end when its worker does."""
        for descriptor in (self.link_in, self.link_out, self.capture, self._printer):
            try:
                os.close(descriptor)
            except OSError:
                pass  # the job has


class _Printed(io.BufferedWriter):
    """Knows whether anything was written since the last flush: to ask is cheaper than a flush for nothing."""

    dirty = False

    def write(self, data):
        self.dirty = True
        return super().write(data)


def _enlarge(pipe):
    """Code in C that prints without giving up the interpreter's lock stops for ever when the pipe is full."""
    try:
        import fcntl

        fcntl.fcntl(pipe, _F_SETPIPE_SZ, _CAPTURE_SIZE)
    except (ImportError, OSError):
        pass  # this user has too many large pipes already, or it is another system
