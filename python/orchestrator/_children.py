"""The end of everything that a worker's jobs have started."""

import os

_SIGKILL = 9


def kill_descendants():
    """Kills all processes below this one."""
    for pid in _descendants():
        try:
            os.kill(pid, _SIGKILL)
        except OSError:
            pass  # it has just ended


def end_with_descendants(status):
    """Ends this process, everything below it, and what is left of it in its process group: what has lost its parent."""
    kill_descendants()
    if os.getpgrp() == os.getpid():
        os.killpg(0, _SIGKILL)
    os._exit(status)


def _descendants():
    try:
        pids = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []  # no Linux
    parents = {}
    for pid in pids:
        try:
            with open("/proc/%s/stat" % pid, "rb") as file:
                after_name = file.read().rpartition(b")")[2].split()
            parents[int(pid)] = int(after_name[1])
        except (OSError, IndexError, ValueError):
            pass
    found, last = [], {os.getpid()}
    while last:
        last = {pid for pid, parent in parents.items() if parent in last}
        found.extend(last)
    return found
