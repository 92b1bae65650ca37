"""Functions that test_worker.py has run in workers."""

import os
import sys
import time

kept = []


def add(a, b=0):
    return a + b


def fail(text):
    raise ValueError(text)  # a comment to be seen


def leave(kind, value):
    raise kind(value)


def echo(value):
    return value


def fail_at(value, bad):
    if value == bad:
        raise ValueError(value)
    return value


def no_pickle():
    return lambda: None


class Unloadable:
    def __reduce__(self):
        return fail, ("while unpickling",)


def print_everywhere(text):
    print("print " + text)
    sys.stdout.write("no end of line " + text)
    sys.stdout.buffer.write(b" buffer")
    sys.stdout.flush()
    os.write(1, b" os.write")
    os.system("printf ' child'")


def print_unfinished(text):
    print(text, end="")


def print_and_wait(text, path):
    print(text)
    wait(path)


def print_much(size):
    for _ in range(size // 1000):
        os.write(1, b"x" * 999 + b"\n")


def complain(text):
    print(text, file=sys.stderr)


def wait(path):
    """Until the file is there."""
    while not os.path.exists(path):
        time.sleep(0.001)


def compute(path):
    """The same, never giving the processor away."""
    while not os.path.exists(path):
        sum(range(1000))


def sleep(seconds):
    time.sleep(seconds)


def catch_cancellation(path):
    from orchestrator.worker import JobCancelled

    try:
        open(path, "w").close()
        time.sleep(60)
    except JobCancelled:
        return "caught"


def ignore_cancellation(started, end):
    try:
        open(started, "w").close()
        time.sleep(60)
    except BaseException:
        wait(end)
        raise


def start_child(path):
    import subprocess

    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    with open(path + ".tmp", "w") as file:
        file.write(str(process.pid))
    os.rename(path + ".tmp", path)
    time.sleep(1000)


def die(status):
    os._exit(status)


def append(path, text):
    with open(path, "a") as file:
        file.write(text + "\n")
    return text


def surroundings():
    return sys.argv, os.getcwd(), sys.path


def stdin():
    return sys.stdin.read(), os.read(0, 10)


def descriptors():
    return sorted(int(name) for name in os.listdir("/proc/self/fd"))


def in_main(name):
    return getattr(sys.modules["__main__"], name)


def identity():
    import multiprocessing

    me = multiprocessing.current_process()
    parent = multiprocessing.parent_process()
    return bytes(me.authkey), me.name, me.daemon, me._identity, parent.pid, parent.is_alive()


def tracker_and_memory(name):
    from multiprocessing import resource_tracker, shared_memory

    memory = shared_memory.SharedMemory(name)
    try:
        return bytes(memory.buf[:5]), resource_tracker._resource_tracker._pid
    finally:
        memory.close()


def nested_pool():
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(add, (20, 22))


def remember(value):
    kept.append(value)


def remembered():
    return kept


class Tracked:
    """Tells in a file that it has gone."""

    def __init__(self, path):
        self.path = path

    def __del__(self):
        open(self.path, "w").close()


def take(tracked):
    return not os.path.exists(tracked.path)


def exists(path):
    return os.path.exists(path)


def say_at_exit(text):
    import atexit

    atexit.register(print, text)


def fork_and_return():
    return "parent" if os.fork() else "child"


def fork_and_leave():
    pid = os.fork()
    if pid == 0:
        time.sleep(1000)
    return pid


def close_stdout():
    sys.stdout.close()
    os.close(1)


def report(steps):
    from orchestrator.worker import attempt, progress

    for step in range(steps):
        progress(step + 1, steps)
    return attempt()


def busy(seconds, computing, text):
    """Takes so long, and uses everything that meets the worker's second thread."""
    from orchestrator.worker import progress

    end = time.monotonic() + seconds
    progress(1, 1)
    if computing:
        while time.monotonic() < end:
            pass
    else:
        time.sleep(seconds)
    progress(2, 2)
    if text:
        print(text)
    return text


def flood_while_waiting(path):
    """A thread prints while the main thread waits."""
    import threading

    thread = threading.Thread(target=print_much, args=(1_000_000,))
    thread.start()
    wait(path)
    thread.join()
