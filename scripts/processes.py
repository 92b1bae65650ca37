"""Finds processes by a mark in their environment: what `soak` and `compare-faults` have
in common. A mark is inherited by whatever a process starts, also by what has made
itself a daemon."""

import argparse
import os
import re
import signal
import time


class Process:
    def __init__(self, pid, parent, state):
        self.pid, self.parent, self.state = pid, parent, state


def stat(pid):
    """Its parent and state; nothing when it has gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            state, parent = file.read().rsplit(")", 1)[1].split()[:2]
    except OSError:
        return None
    return Process(int(pid), int(parent), state)


def everything():
    """All processes of this machine."""
    found = (stat(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit())
    return [process for process in found if process]


def marked(mark, processes=None):
    """Those that live and carry this `NAME=value` in their environment."""
    found = {}
    for process in everything() if processes is None else processes:
        try:
            with open(f"/proc/{process.pid}/environ", "rb") as file:
                if process.state not in "ZX" and mark.encode() in file.read().split(b"\0"):
                    found[process.pid] = process
        except OSError:
            continue
    return found


def left(mark, seconds):
    """What still lives after so many seconds; returns at once when nothing does."""
    deadline = time.monotonic() + seconds
    while (found := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def kill_all(mark, seconds=20):
    """Kills all of them, until none is left."""
    deadline = time.monotonic() + seconds
    while found := marked(mark):
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"cannot be killed: {sorted(found)}")
        time.sleep(0.02)


def seconds(text):
    """A duration on the command line."""
    found = re.fullmatch(r"(\d+)([smh]?)", text)
    if not found:
        raise argparse.ArgumentTypeError("write e.g. 90s, 10m or 1h")
    return int(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]
