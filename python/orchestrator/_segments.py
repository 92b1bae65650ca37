"""Large buffers travel beside the link: in memory files of the client's, which workers open by its descriptors' paths.

All of it belongs to the client, so that nothing is lost when a worker dies, however and whenever. A job that needs one has
a segment of its own until its answer has come: the client writes large buffers of the input to its front, the worker its
large result behind them, and either side copies what it reads into memory of its own. So no lifetime of a user's object
reaches into a segment, an attempt can be repeated, and a segment can be used again at once, with its pages. (Mapping
segments instead would save a copy, and corrupt objects that are kept, forked or held by a job that was given up.)

Everything falls back to bytes on the link: where there are no memory files, where a worker does not see the client's
descriptors (another machine, container or user), and when too many segments are in use.
"""

import os
import struct

try:
    from _pickle import PickleBuffer
except ImportError:
    from pickle import PickleBuffer

LARGE = 256 * 1024
"""From this size on, a buffer travels in a segment."""

WORTHWHILE = hasattr(os, "memfd_create") and hasattr(os, "preadv")
"""Whether segments are faster than the link here. PyPy copies what it writes and reads a byte at a time."""

_ALIGNMENT = 4096
_BYTES = 1 << 63  # in a length: this buffer is to become a `bytes` object
_MOST_LEASED = 64
_MOST_FREE = 8
_MOST_FREE_BYTES = 256 << 20
_MAPPED = 1 << 20  # copies of this size are made in pages of their own, which go back to the system
_MOST_AT_ONCE = 1 << 30  # a single read or write moves less than 2 GiB
# What the client's notice board holds: a secret, by which a worker knows that it sees the right file, and the
# descriptor of the client's resource tracker, which may come to be later.
_BOARD = struct.Struct("<16si")
_COMPLAINT_AT = 64
"""Where a worker whose initializer has raised leaves the reason and the traceback."""
_MOST_COMPLAINT = 64 * 1024


class Segments:
    """The client's segments, one object per pool. All methods may be called from any thread."""

    def __init__(self):
        self._pid = os.getpid()
        self._free = []  # taken and given back with single operations, which are atomic
        self._leased = 0  # about: two threads may disagree by one
        self._board = self._tracker = None
        self._secret = os.urandom(16)
        self.enabled = False  # set by the client once the workers have said that they see the board
        self._use_expected = 0  # offers that are made although the last results were small
        if hasattr(os, "memfd_create"):
            self._board = os.memfd_create("orchestrator-board", os.MFD_CLOEXEC)
            self.show_tracker(None)

    def address(self):
        """What Init tells the workers: (pid, descriptor, secret), or None."""
        return None if self._board is None else (self._pid, self._board, self._secret)

    def show_tracker(self, descriptor):
        """Tells the workers where multiprocessing's resource tracker of this process listens (None: nowhere yet)."""
        if self._board is not None and (descriptor != self._tracker or descriptor is None):
            os.pwrite(self._board, _BOARD.pack(self._secret, -1 if descriptor is None else descriptor), 0)
            self._tracker = descriptor

    def complaint(self):
        """Why the first worker could not start, as that has put it: (reason, traceback), or None."""
        if self._board is None:
            return None
        data = os.pread(self._board, _MOST_COMPLAINT, _COMPLAINT_AT)
        reason, _, traceback = data.decode("utf-8", "replace").partition("\0")
        return (reason, traceback) if reason else None

    def lease(self, buffers):
        """A segment with these buffers (objects that `memoryview` takes) for one job; None: use the link. With no
        buffers it is one for the result alone, given only while large results are expected."""
        if not self.enabled or self._leased >= _MOST_LEASED or os.getpid() != self._pid:
            return None
        if buffers:
            self._use_expected = 64
        elif self._use_expected <= 0:
            return None
        return self._lease(buffers)

    def lease_for_init(self, data):
        """A segment with large data for every worker's start; it also works before `enabled` is known."""
        return self._lease([data])

    def _lease(self, buffers):
        lengths, at = [], 0
        try:
            descriptor = self._free.pop()
        except IndexError:
            descriptor = os.memfd_create("orchestrator-segment", os.MFD_CLOEXEC)
        self._leased += 1
        try:
            for buffer in buffers:
                _write(descriptor, buffer, at)
                lengths.append(_length(buffer))
                at = _aligned(at + (lengths[-1] & ~_BYTES))
        except OSError:  # the system has no memory for it: the link does it in pieces
            self.give_back(descriptor, False)
            return None
        return Lease(self, descriptor, at, lengths)

    def saw_result(self, size):
        """Tells how large a result was that came by the link."""
        self._use_expected = 64 if size >= LARGE else self._use_expected - 1

    def give_back(self, descriptor, clean):
        """Ends a lease. Not clean: somebody may still write to it, so that nobody else can have it."""
        self._leased -= 1
        if clean and self._pid == os.getpid() and len(self._free) < _MOST_FREE:
            if sum(map(_size, self._free)) + _size(descriptor) <= _MOST_FREE_BYTES and self._board is not None:
                self._free.append(descriptor)
                return
        os.close(descriptor)

    def close(self):
        """Gives all memory back. Leases that are out are closed by their release."""
        self.enabled = False
        board, self._board = self._board, None
        if board is not None:
            os.close(board)
        while self._free:
            os.close(self._free.pop())


class Lease:
    """One job's segment, in the client, until `release`."""

    __slots__ = ("_segments", "_descriptor", "_result_at", "_lengths")

    def __init__(self, segments, descriptor, result_at, lengths):
        self._segments, self._descriptor = segments, descriptor
        self._result_at, self._lengths = result_at, lengths

    def reference(self):
        """What the job's input says about the segment."""
        count = len(self._lengths)
        return struct.pack("<IQI%dQ" % count, self._descriptor, self._result_at, count, *self._lengths)

    def read(self, lengths):
        """The buffers of the result."""
        return _read_all(self._descriptor, self._result_at, lengths)

    def release(self, clean):
        """To be called once, when the job has ended: `clean` only if its worker has answered with Ok."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._segments.give_back(descriptor, clean)


class Neighbour:
    """The client as its worker sees it: the place where its segments are."""

    def __init__(self, address):
        self._pid, self._board, self._secret = address
        self.visible = self._read_board() is not None

    def open(self, descriptor):
        return os.open("/proc/%d/fd/%d" % (self._pid, descriptor), os.O_RDWR | os.O_CLOEXEC)

    def tracker(self):
        """A descriptor of the client's resource tracker, opened anew, or None."""
        number = self._read_board()
        if number is None or number < 0:
            return None
        try:
            return os.open("/proc/%d/fd/%d" % (self._pid, number), os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return None

    def complain(self, reason, traceback):
        """Leaves word why this worker cannot start. False: another one has done so."""
        import fcntl

        data = ("%s\0%s" % (reason, traceback)).encode("utf-8", "backslashreplace")[:_MOST_COMPLAINT]
        board = os.open("/proc/%d/fd/%d" % (self._pid, self._board), os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(board, fcntl.LOCK_EX)
            if os.pread(board, 1, _COMPLAINT_AT):
                return False
            os.pwrite(board, data, _COMPLAINT_AT)
            return True
        finally:
            os.close(board)

    def _read_board(self):
        try:
            descriptor = os.open("/proc/%d/fd/%d" % (self._pid, self._board), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            secret, tracker = _BOARD.unpack(os.pread(descriptor, _BOARD.size, 0))
            return tracker if secret == self._secret else None
        except (OSError, struct.error):
            return None
        finally:
            os.close(descriptor)


class OpenSegment:
    """One job's segment, in the worker."""

    __slots__ = ("_neighbour", "_number", "_result_at", "_lengths")

    def __init__(self, neighbour, data, at):
        self._neighbour = neighbour
        self._number, self._result_at, count = struct.unpack_from("<IQI", data, at)
        self._lengths = struct.unpack_from("<%dQ" % count, data, at + 16)

    def size(self):
        """How many bytes of the input the reference has taken."""
        return 16 + 8 * len(self._lengths)

    def read(self):
        """The buffers of the input."""
        if not self._lengths:
            return []
        descriptor = self._neighbour.open(self._number)
        try:
            return _read_all(descriptor, 0, self._lengths)
        finally:
            os.close(descriptor)

    def write(self, buffers):
        """Puts the result's buffers there. Gives what its answer says about them."""
        descriptor = self._neighbour.open(self._number)
        try:
            at = self._result_at
            for buffer in buffers:
                _write(descriptor, buffer, at)
                at = _aligned(at + memoryview(buffer).nbytes)
        finally:
            os.close(descriptor)
        return struct.pack("<I%dQ" % len(buffers), len(buffers), *map(_length, buffers))


class Borrowed:
    """Wraps a large `bytes` object, which pickle would copy: unpickled, it is `bytes` again."""

    __slots__ = ("data",)

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return bytes, (PickleBuffer(self.data),)  # a copy only if the buffer is no `bytes` object already


def parse_lengths(data, at):
    """(lengths, where they end) of what `OpenSegment.write` gave."""
    (count,) = struct.unpack_from("<I", data, at)
    return struct.unpack_from("<%dQ" % count, data, at + 4), at + 4 + 8 * count


def _aligned(at):
    return at + -at % _ALIGNMENT


def _size(descriptor):
    return os.fstat(descriptor).st_size


def _length(buffer):
    view = memoryview(buffer)
    return view.nbytes | (_BYTES if type(view.obj) is bytes else 0)


def _write(descriptor, buffer, at):
    view = memoryview(buffer).cast("B")
    while len(view):
        written = os.pwrite(descriptor, view[:_MOST_AT_ONCE], at)
        view, at = view[written:], at + written


def _read_all(descriptor, at, lengths):
    buffers = []
    for length in lengths:
        size = length & ~_BYTES
        buffers.append(_read_bytes(descriptor, size, at) if length & _BYTES else _read(descriptor, size, at))
        at = _aligned(at + size)
    return buffers


def _read_bytes(descriptor, size, at):
    if size <= _MOST_AT_ONCE:
        data = os.pread(descriptor, size, at)
        if len(data) == size:
            return data
    return bytes(_read(descriptor, size, at))


def _read(descriptor, size, at):
    """Memory of our own with what is there; writable."""
    if size < _MAPPED:
        memory = bytearray(size)
    else:
        import mmap  # only large data comes here

        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            try:
                memory.madvise(mmap.MADV_HUGEPAGE)
            except OSError:
                pass  # a kernel without it
    view, done = memoryview(memory), 0
    while done < size:
        count = _read_into(descriptor, view[done : done + _MOST_AT_ONCE], at + done)
        if count == 0:
            raise EOFError("a segment ends early")
        done += count
    view.release()
    return memory


def _read_into(descriptor, view, at):
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [view], at)
    data = os.pread(descriptor, len(view), at)
    view[: len(data)] = data
    return len(data)
