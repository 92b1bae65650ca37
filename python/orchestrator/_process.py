"""A child process, started without `subprocess`: importing that takes as long as half of an agent's start."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from typing import Sequence

_SIGKILL, _SIGPIPE, _SIGXFSZ = 9, 13, 25


class Process:
    """As much of `subprocess.Popen` as an agent needs."""

    def __init__(self, line: Sequence[str], env: dict[str, str], stdio: int) -> None:
        """Starts a program with a descriptor as its stdin and stdout, and our stderr. It has no other descriptor of ours, and
        the signals that Python ignores are as usual."""
        actions: list[tuple[int, ...]] = [(os.POSIX_SPAWN_DUP2, stdio, 0), (os.POSIX_SPAWN_DUP2, stdio, 1)]
        actions += [(os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in _inheritable()]
        self.program = line[0]
        self.returncode: int | None = None
        self.pid = os.posix_spawn(line[0], list(line), env, file_actions=actions, setsigdef=[_SIGPIPE, _SIGXFSZ])

    def poll(self) -> int | None:
        """Its exit status, or minus the signal that has ended it; None while it runs."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                if self.returncode is None:  # another thread may have just set it
                    self.returncode = 0  # somebody else has waited for it
            else:
                if pid:
                    self.returncode = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        return self.returncode

    def wait(self, timeout: float) -> int | None:
        """Waits for its end. None: it has not come in time."""
        pause, end = 0.0005, time.monotonic() + timeout
        while self.poll() is None and time.monotonic() < end:
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(_SIGKILL)


def _inheritable() -> list[int]:
    """The descriptors beyond the standard ones that this process would leave to its children."""
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return []
    found = []
    for number in numbers:
        try:
            if number > 2 and os.get_inheritable(number):
                found.append(number)
        except OSError:
            pass  # the one that has read the list
    return found
