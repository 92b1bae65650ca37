"""What the executor's tests share: pools that are checked at their end, and waiting for conditions."""

import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.dirname(HERE)
if PACKAGE not in sys.path:
    sys.path.insert(0, PACKAGE)

from orchestrator import Executor

LONG_S = 60
"""More than anything takes that works."""


def wait_until(condition, what="it"):
    """Waits for a condition, and fails if it does not come true; its last value."""
    deadline = time.monotonic() + LONG_S
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("%s did not happen" % what)
        time.sleep(0.005)


def alive(pid):
    """Whether a process runs: one that is dead and not yet reaped does not."""
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def descriptors():
    return len(os.listdir("/proc/self/fd"))


class ExecutorCase(unittest.TestCase):
    """A case whose pools leave nothing behind."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def touch(self, name):
        open(self.path(name), "w").close()

    def lines(self, name):
        try:
            with open(self.path(name)) as file:
                return file.read().split()
        except FileNotFoundError:
            return []

    def pool(self, *args, **kwargs):
        pool = Executor(*args, **kwargs)
        self.addCleanup(self.check_end, pool)
        return pool

    def check_end(self, pool):
        client = pool._client
        end = threading.Thread(target=pool.shutdown, daemon=True)
        end.start()
        end.join(LONG_S)
        self.assertFalse(end.is_alive(), "shutdown hangs: %s, %s" % (pool.stats(), list(client.flight)))
        if client.agent is not None:
            self.assertIsNotNone(client.agent.process.returncode)
            self.assertFalse(client.thread.is_alive())
            self.assertEqual(client.agent.link.fileno(), -1)

    def outcome(self, future):
        """The result of a future, or its exception; never later than LONG_S."""
        error = future.exception(LONG_S)
        return future.result() if error is None else error

    def run_script(self, text, *args, check=True, **kwargs):
        """Runs a program that has this package and the jobs at hand."""
        path = self.path("script.py")
        with open(path, "w") as file:
            file.write("import sys\nsys.path[:0] = %r\n" % ([PACKAGE, HERE],) + text)
        done = subprocess.run(
            [sys.executable, path, *args], capture_output=True, text=True, timeout=LONG_S, check=False, **kwargs
        )
        if check:
            self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done
