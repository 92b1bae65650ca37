"""The status page (docs/protocol.md, section 13): what the orchestrator reads when this worker has died. It tells which
job ran, and holds answers that have not been written yet.

Every store is one aligned number: a memory view of eight-byte numbers stores each at once.
"""

import os

_HELD_AT = 4096
_MOST_HELD = 131_072


class StatusPage:
    """The page of this process; `create` gives None where there are no memory files."""

    def __init__(self, descriptor):
        import mmap

        self.descriptor = descriptor
        os.ftruncate(descriptor, _HELD_AT + _MOST_HELD)
        self._memory = mmap.mmap(descriptor, _HELD_AT + _MOST_HELD)
        view = memoryview(self._memory)
        self.numbers = view[:32].cast("Q")
        """[0] is the running job; [1] its attempt, in the lower half; [2] the position of the first held byte."""
        self._small = view[:32].cast("I")
        self._held = view[_HELD_AT:]
        self._length = 0

    @classmethod
    def create(cls):
        try:
            return cls(os.memfd_create("orchestrator-status", os.MFD_CLOEXEC))
        except (AttributeError, OSError):
            return None

    def hold(self, frame):
        """Holds a whole frame behind those that are held. False: there is no room, it has to be written."""
        end = self._length + len(frame)
        if end > _MOST_HELD:
            return False
        self._held[self._length : end] = frame
        self._length = end
        self._small[6] = end
        return True

    def written(self, position):
        """All that was held has been written; the stream goes on at `position`."""
        self._small[6] = self._length = 0
        self.numbers[2] = position
