"""`Executor._processes`: not part of any interface, but programs use the standard library's to look at workers or to kill
them. Here a worker is the agent's child, so it is found in /proc, and can be waited for but not reaped."""

from __future__ import annotations

import os
import select
import signal
import time


class WorkerProcess:
    """As much of a `multiprocessing.Process` as can be had."""

    def __init__(self, pid: int) -> None:
        self.pid = self.ident = pid
        self.daemon = False
        self.exitcode: int | None = None
        self._pidfd = os.pidfd_open(pid)
        """Names the process for as long as this object lives, whoever has the number later."""

    def __del__(self) -> None:
        if hasattr(self, "_pidfd"):
            os.close(self._pidfd)

    @property
    def name(self) -> str:
        return f"SpawnProcess-{self.pid}"

    @property
    def sentinel(self) -> int:
        """Becomes readable when the process has ended."""
        return self._pidfd

    def is_alive(self) -> bool:
        return not self._wait(0)

    def join(self, timeout: float | None = None) -> None:
        self._wait(timeout)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            pass  # it has ended

    def _wait(self, timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        waiter = select.poll()
        waiter.register(self._pidfd, select.POLLIN)
        rest = None if deadline is None else max(0, deadline - time.monotonic()) * 1000
        return bool(waiter.poll(rest))


def children_of(pid: int) -> dict[int, WorkerProcess]:
    """The workers of an agent, by their numbers. Empty where the system does not tell."""
    found: dict[int, WorkerProcess] = {}
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                for child in file.read().split():
                    found[int(child)] = WorkerProcess(int(child))
    except (OSError, AttributeError):
        pass  # they are just ending, or there is no such system call
    return found
