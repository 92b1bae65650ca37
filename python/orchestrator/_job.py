"""What belongs to one job of a worker's queue: its input while it comes in pieces, and what it used."""

from orchestrator import _wire


class Input:
    """An input of which not all has come yet."""

    __slots__ = ("_size", "_pieces", "_length", "_uncredited")

    def __init__(self, size, first):
        self._size, self._pieces, self._length, self._uncredited = size, [first], len(first), 0

    def add(self, data):
        if self._length + len(data) > self._size or self._uncredited == _wire.CREDIT:
            raise _wire.Violation("more input than announced or credited")
        self._pieces.append(data)
        self._length += len(data)
        self._uncredited += 1

    def take_uncredited(self):
        uncredited, self._uncredited = self._uncredited, 0
        return uncredited

    def is_complete(self):
        return self._length == self._size

    def data(self):
        return b"".join(self._pieces)


class Usage:
    """CPU time of jobs that are long enough to measure it. To look costs as much as a small job: the figure before a job may
    be a millisecond old."""

    def __init__(self):
        self.taken = 0.0
        self._before = (0, 0)
        self._getrusage = None
        self._thread = 0

    def take(self, now):
        self.taken = now
        self._before = self._now()

    def since_taken(self):
        """(user_us, system_us, max_rss_kib)"""
        user, system = self._now()
        rss = self._getrusage(0).ru_maxrss if self._getrusage else 0  # of the whole process
        return user - self._before[0], system - self._before[1], rss

    def _now(self):
        if self._getrusage is None:
            try:
                from resource import RUSAGE_THREAD, getrusage
            except ImportError:
                return 0, 0
            self._getrusage, self._thread = getrusage, RUSAGE_THREAD
        usage = self._getrusage(self._thread)
        return int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6)
