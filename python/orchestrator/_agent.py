"""The agent's process: where the program is, how it is called, how it is started and ended.

The agent is `orchestrator agent`, a pool of workers that speaks the worker protocol upwards. It hangs on one socket pair:
whatever happens to this process, the agent reads the end of it, and nothing is left.
"""

from __future__ import annotations

import fcntl
import os
import select
import sys

from ._process import Process

try:
    # The module around it imports much that is not needed here. What it adds to a socket is not either.
    import _socket as socket
except ImportError:
    import socket  # type: ignore[no-redef]

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from typing import Sequence

    from ._options import Settings

_PACKAGE = os.path.dirname(os.path.abspath(__file__))
try:
    directory: str | None = os.getcwd()
    """Where this program was when it imported the package: what its relative paths mean."""
except OSError:
    directory = None  # it is gone
_PROGRAM = "orchestrator"
_THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_EXIT_WAIT_S = 10.0
MSG_DONTWAIT = socket.MSG_DONTWAIT
WRITE = MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0)


class Agent:
    """A running agent: its process and our end of the link."""

    def __init__(self, process: Process, link: socket.socket, outputs: list[int | None]) -> None:
        self.process = process
        self.link = link
        self._outputs = outputs

    def print(self, stream: int, data: bytes) -> None:
        """Writes what a job has printed.

        To the descriptors 1 and 2 that this program had when the agent started, not to `sys.stdout`: processes of the
        standard library's pool have those, so programs that capture or redirect output expect it there, whatever
        `sys.stdout` is at that moment in which thread. And they may be something quite different by now, or have been
        closed from the beginning."""
        descriptor = self._outputs[stream]
        while data and descriptor is not None:
            try:
                data = data[os.write(descriptor, data) :]
            except BlockingIOError:
                select.select((), (descriptor,), ())
            except OSError:
                return  # nobody reads it: the job does not hear of it, as it would not in a pipe's buffer

    def hang_up(self) -> None:
        """Ends the link in both directions: the agent ends everything, and our reader reads the end."""
        try:
            self.link.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended by itself

    def reap(self) -> int | None:
        """Waits for the end of a process whose link has ended, with force if it hangs; its exit status, or None if
        somebody else has taken it."""
        while self.process.wait(_EXIT_WAIT_S) is None:
            self.process.kill()
        return self.process.returncode

    def close(self) -> None:
        """Closes our end of the link, and all that there was for it."""
        self.link.close()
        for descriptor in self._outputs:
            if descriptor is not None:
                os.close(descriptor)
        self._outputs = [None, None]

    def end(self) -> None:
        """Ends an agent that nobody has spoken with yet."""
        self.close()
        self.reap()

    def drop(self) -> None:
        """In the child of a fork: gives up what belongs to the parent, without a word to the agent."""
        self.close()
        self.process.returncode = 0  # not our child: nothing to wait for, nothing to warn of


def find_agent() -> str:
    """The path of the program: `$ORCHESTRATOR`, else where the installation of this package has put it, else in `PATH`.
    Raises `FileNotFoundError`."""
    named = os.environ.get("ORCHESTRATOR")
    if named:
        if os.access(named, os.X_OK):
            return named
        raise FileNotFoundError(f"$ORCHESTRATOR is {named!r}, which is no program")
    # Without importing sysconfig, which takes as long as all else here: PREFIX/bin of PREFIX/lib/python3.N/site-packages,
    # of `pip install --target`, and of a virtual environment.
    site = os.path.dirname(_PACKAGE)
    prefix = os.path.dirname(os.path.dirname(os.path.dirname(site)))
    places = [os.path.join(place, "bin") for place in (prefix, site, sys.prefix)]
    for place in places + os.get_exec_path():
        path = os.path.join(place, _PROGRAM)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(f"the program {_PROGRAM!r} is not in {places[0]}, not in PATH, and $ORCHESTRATOR is not set")


def command_line(program: str, worker: Sequence[str], settings: Settings) -> list[str]:
    """The whole command line of an agent."""
    line = [program, "agent", f"--workers={settings.workers}", f"--worker={worker[0]}"]
    line += [f"--worker-arg={argument}" for argument in worker[1:]]
    # On demand, as in the standard library.
    line.append(f"--min-workers={max(1, settings.min_workers or 1)}")
    if settings.idle_after is not None:
        line.append(f"--idle-after={max(1, round(settings.idle_after * 1000))}ms")
    if settings.max_tasks_per_child is not None:
        line.append(f"--max-jobs-per-worker={settings.max_tasks_per_child}")
    return line


def environment(workers: int) -> dict[str, str]:
    """Ours, with limits for libraries that would else start a thread per processor in every worker."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    values = dict(os.environ)
    for name in _THREAD_LIMITS:
        values.setdefault(name, str(max(1, cpus // workers)))
    return values


def start(line: Sequence[str], env: dict[str, str]) -> Agent:
    """Starts an agent. What this program has printed is written out before, as `multiprocessing` does."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, OSError):
            pass  # none, closed, or nobody reads
    # First: the link takes the descriptors that are free. One that was closed when this program began may be anything now.
    outputs = [None if stream is None else _copy(number) for number, stream in ((1, sys.__stdout__), (2, sys.__stderr__))]
    ours, theirs = socket.socketpair()
    try:
        process = Process(line, env, theirs.fileno())
    except BaseException:
        Agent(None, ours, outputs).close()  # type: ignore[arg-type]  # it has none
        raise
    finally:
        theirs.close()
    return Agent(process, ours, outputs)


def _copy(descriptor: int) -> int | None:
    """A copy of a standard descriptor, beyond those; None where it has been closed."""
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError:
        return None
