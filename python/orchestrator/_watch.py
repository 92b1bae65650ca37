"""The watcher: a thread that looks after a worker's link while a job runs for more than a millisecond, so that messages are
obeyed, earlier answers leave and output is delivered while the job computes, and the orchestrator's end is seen.

A small job never notices it. The watcher looks every millisecond while jobs come: a job that still runs at the next look
has its earlier answers sent, and after some more the watcher takes the link over until the job's end, which the main
thread tells it by one write. When nothing has happened for a while it sleeps until the next job.

A job in C that does not give up the interpreter's lock stops the watcher as well. The orchestrator knows how to end such.
"""

import os
import select
import sys
from time import sleep

from orchestrator import _wire

_TICK_MS, _LONGER_MS = 1, 4
_SWITCH_S = 0.0005
_RESTLESS_LOOKS = 50


def watch(worker):
    """Never returns."""
    try:
        _Watcher(worker).run()
    except _wire.Violation as violation:
        worker.violated(violation)
    except BaseException:
        import traceback

        os.write(2, traceback.format_exc().encode("utf-8", "replace"))
    os._exit(70)  # without the watcher nobody would notice that the orchestrator is gone


class _Watcher:
    def __init__(self, worker):
        self._worker = worker
        self._link, self._capture = worker.stdio.link_in, worker.stdio.capture
        self._apart = select.poll()  # what there is to see while the main thread reads
        self._all = select.poll()
        for poll in (self._apart, self._all):
            poll.register(self._capture, select.POLLIN)
            poll.register(worker.wake_in, select.POLLIN)
        self._all.register(self._link, select.POLLIN)
        self._started = None  # the last pair that was announced

    def run(self):
        worker = self._worker
        seen, looks, pause = worker.turn, 0, _TICK_MS
        while True:
            printed = self._look(pause)
            pause = _TICK_MS
            turn = worker.turn
            if turn != seen:
                seen, looks = turn, 0
                if printed:
                    sleep(0.001)  # it belongs to a job whose end will see to it
                elif turn % 2 and worker.answers_are_late():
                    self._with_role(turn, worker.write_answers)
                continue
            looks += 1
            if turn % 2:
                if looks == 1 and not printed:
                    self._with_role(turn, worker.write_answers)
                    pause = _LONGER_MS
                else:
                    self._with_role(turn, self._attend)
            elif printed:
                self._with_role(turn, worker.flush)
            elif looks >= _RESTLESS_LOOKS:
                pause = self._park(turn)
                looks = 0

    def _look(self, pause):
        """Waits apart from the link. A job that computes in Python gives the interpreter's lock up when somebody has waited
        for it for the switch interval, and answers would wait for five milliseconds more: it is shorter until then."""
        usual = sys.getswitchinterval()
        if pause != _TICK_MS or usual <= _SWITCH_S:
            return self._wait(self._apart, pause)
        sys.setswitchinterval(_SWITCH_S)
        short = sys.getswitchinterval()
        try:
            return self._wait(self._apart, pause)
        finally:
            if sys.getswitchinterval() == short:  # else the job has chosen another one
                sys.setswitchinterval(usual)

    def _wait(self, poll, pause):
        """Whether something has been printed."""
        ready = {descriptor for descriptor, _ in poll.poll(pause)}
        if self._worker.wake_in in ready:
            os.read(self._worker.wake_in, 4096)
        self._ready = ready
        return self._capture in ready

    def _park(self, turn):
        worker = self._worker
        worker.parked = True
        # A job that started before this line was executed did not see it, one that starts later does.
        if worker.turn != turn:
            worker.parked = False
            return _TICK_MS
        return None

    def _with_role(self, turn, act):
        worker = self._worker
        if worker.role.acquire(False):
            try:
                if worker.turn == turn and not worker.wanting:
                    act()
            finally:
                worker.role.release()

    def _attend(self):
        """Until the main thread wants the lock back."""
        worker = self._worker
        pair = worker.current
        if pair is not None and pair != self._started:
            self._started = pair
            worker.send(_wire.started(*pair))
        while True:
            printed = self._wait(self._all, None)
            if printed:
                worker.flush()
            if worker.wake_in in self._ready:
                return
            if self._link in self._ready:
                worker.read_now()
