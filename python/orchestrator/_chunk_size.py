"""How many items of a `map` share a job."""

from __future__ import annotations

_CHUNK_US = 1000
_CHUNK_BYTES = 128 * 1024
_MOST_ITEMS = 16 * 1024
_GROWTH = 8


class ChunkSize:
    """Without a fixed number, chunks grow while they take less than a millisecond, which is as long as a finished result
    may have to wait for the others of its chunk, and while they are small.

    >>> size = ChunkSize()
    >>> size.items
    1
    >>> size.learn_time(items=1, wall_us=2); size.items  # 500 would fit; it grows by steps
    8
    >>> size.learn_bytes(items=8, size=1 << 20); size.items
    1
    """

    __slots__ = ("items", "_fixed", "_most")

    def __init__(self, fixed: int | None = None, most: int = _MOST_ITEMS) -> None:
        self.items = fixed or 1
        self._fixed = fixed is not None
        self._most = min(most, _MOST_ITEMS)

    def learn_time(self, items: int, wall_us: int) -> None:
        """Tells how long a chunk has taken."""
        if not self._fixed:
            fitting = int(_CHUNK_US * items / max(wall_us, 0.5))
            self.items = max(1, min(fitting, max(self.items, items * _GROWTH), self._most))

    def learn_bytes(self, items: int, size: int) -> None:
        """Tells how many bytes the inputs or the results of a chunk are."""
        fitting = _CHUNK_BYTES * items // size
        if not self._fixed and fitting < self.items:
            self.items = max(1, fitting)
