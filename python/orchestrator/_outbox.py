"""What a worker has to write: answers of small jobs wait here, for many to leave with one write, and are held in the status
page meanwhile. What jobs print joins them in its right place."""

import os
import select
from collections import deque

from orchestrator import _wire
from orchestrator._page import StatusPage

HOLD_S = 0.001
"""How long an answer may wait."""
FULL = 64 * 1024
"""With so many bytes waiting, they do not wait for more."""

_READ = 64 * 1024


class Outbox:
    """Everything but the counters is used with the worker's lock only."""

    def __init__(self, stdio, exact_output, gone):
        self.page: "StatusPage | None" = None
        self.position = 0  # in the stream of bytes sent
        self.waiting_bytes = 0
        self.since = 0.0  # when the first of the answers came
        self._answers = deque()  # as whole frames
        self._link, self._capture = stdio.link_out, stdio.capture
        self._exact_output = exact_output
        self._gone = gone
        self._printed = select.poll()
        self._printed.register(self._capture, select.POLLIN)

    def add(self, answer, now):
        """Adds an answer's frame. False: it cannot be held, and has to be written before its job counts as over."""
        if not self._answers:
            self.since = now
        self._answers.append(answer)
        self.waiting_bytes += len(answer)
        return self.page is None or self.page.hold(answer)

    def is_empty(self):
        return not self._answers

    def flush(self, pair: "tuple[int, int]"):
        """Writes the answers, behind what has been printed, which is the output of this pair."""
        if self._printed.poll(0):
            self.write_printed(pair)
        self.write_answers()

    def write_answers(self):
        if self._answers:
            frames = b"".join(self._answers)
            self._answers.clear()
            self.waiting_bytes = 0
            self.write(frames)
            if self.page is not None:
                self.page.written(self.position)

    def write_printed(self, pair: "tuple[int, int]"):
        while self._printed.poll(0):
            try:
                data = os.read(self._capture, _READ)
            except OSError:
                return
            frame = _wire.output(*pair, _wire.STDOUT, data)
            if self._exact_output:
                self.write_answers()
            elif self.page is not None and self._answers:
                # It goes before answers that are held, whose place in the stream then is another. Not held, they are as safe
                # as any others during a write.
                self.page.written(self.position + len(frame))
            self.write(frame)

    def write(self, data):
        """Writes frames past those that wait: there must be none, or their place must have been changed."""
        self.position += len(data)
        try:
            written = os.write(self._link, data)
            while written < len(data):
                data = memoryview(data)[written:]
                written = os.write(self._link, data)
        except OSError:
            self._gone()
