"""Functions and classes for the executor's tests: workers import this module."""

import ctypes
import dataclasses
import os
import signal
import sys
import time


def call(function, *args):
    return function(*args)


def echo(value):
    return value


def twice(fn, *args):
    return 2 * fn(*args)


def fail_at_3(value):
    if value == 3:
        raise ValueError("three")
    return value


def add(x, y=0):
    return x + y


def any_names(*args, **kwargs):
    return args, kwargs


def pid(_=None):
    return os.getpid()


def append(path, text):
    with open(path, "a") as file:
        file.write(text + "\n")
    return text


def wait_for_file(path, value=None):
    """Runs until the file is there; says first that it runs."""
    append(path + ".started", "x")
    while not os.path.exists(path):
        time.sleep(0.005)
    return value


def start_and_sleep(path, seconds=600):
    append(path, str(os.getpid()))
    time.sleep(seconds)


def start_and_resist(path):
    append(path, str(os.getpid()))
    while True:
        try:
            time.sleep(600)
        except BaseException:
            append(path, "resisted")


def fail(text="on purpose"):
    raise ValueError(text)


def leave(kind, *args):
    raise kind(*args)


class TwoArguments(Exception):
    """Cannot be made from its own `args`."""

    def __init__(self, first, second):
        super().__init__("%s and %s" % (first, second))


def raise_two_arguments():
    raise TwoArguments("one", "two")


def return_unpicklable():
    return lambda: 1


def die(how):
    """Ends this process, or in the case of "raise" only what happens."""
    if how == "os._exit":
        os._exit(3)
    if how == "C exit":
        ctypes.CDLL(None).exit(4)
    if how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(60)
    raise ZeroDivisionError("by %s" % how)


class AtPickle:
    """Dies when it is pickled."""

    def __init__(self, how):
        self.how = how

    def __reduce__(self):
        die(self.how)


class AtUnpickle:
    """Dies when it is unpickled."""

    def __init__(self, how):
        self.how = how

    def __reduce__(self):
        return die, (self.how,)


class AtUnpickleThere(AtUnpickle):
    """Dies when it is unpickled in another process than the one that it was made in: a worker's, for an argument."""

    def __reduce__(self):
        return _die_elsewhere, (self.how, os.getpid())


def _die_elsewhere(how, home):
    if os.getpid() != home:
        die(how)


def make(kind, how):
    return kind(how)


def say(text, stream="stdout"):
    print(text, file=getattr(sys, stream), flush=True)


def write_to_descriptor(descriptor, data):
    os.write(descriptor, data)


def with_stderr(text):
    print(text, file=sys.stderr, flush=True)
    os._exit(5)


def crash_unless(path):
    """Dies at its first attempt."""
    if not os.path.exists(path):
        append(path, "x")
        os._exit(3)
    return "second"


def use_memory(megabytes, path):
    block = bytearray(megabytes << 20)
    for at in range(0, len(block), 4096):
        block[at] = 1
    wait_for_file(path)
    return len(block)


class MyObject:
    pass


def my_object(_=None):
    return MyObject()


_initial = None


def initialize(value):
    global _initial
    _initial = value


def initial(_=None):
    return _initial


def raise_in_initializer():
    raise RuntimeError("the initializer does not want to")


def nested(number):
    from orchestrator import Executor

    with Executor(1) as pool:
        return pool.submit(add, number, 1).result()


def environment(name):
    return os.environ.get(name)


class Slow:
    """Takes a moment to be pickled."""

    def __reduce__(self):
        time.sleep(0.01)
        return Slow, ()


def count_arguments(*args):
    return len(args)


def session():
    return os.getsid(0), os.getppid()


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Nothing can be assigned to it: no cause, no traceback."""

    code: int


class FrozenAtPickle:
    def __reduce__(self):
        raise Frozen(4)


class NoText(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class NoTextAtUnpickle:
    """Raises where its job's result is read."""

    def __init__(self):
        self.home = os.getpid()

    def __reduce__(self):
        return _raise_elsewhere, (os.getpid(),)


def _raise_elsewhere(home):
    if os.getpid() != home:
        raise NoText


def no_text_at_unpickle():
    return NoTextAtUnpickle()


def raise_after(path, how):
    wait_for_file(path)
    if how == "die":
        os._exit(3)
    raise ValueError("late")


def write_to(name, number):
    from multiprocessing import shared_memory

    memory = shared_memory.SharedMemory(name)
    memory.buf[0] = number
    memory.close()
    return os.getpid()


def make_memory():
    from multiprocessing import shared_memory

    memory = shared_memory.SharedMemory(create=True, size=8)
    memory.buf[0] = 9
    memory.close()
    return memory.name


def authkey():
    import multiprocessing

    return bytes(multiprocessing.current_process().authkey)


def enter(mapping, key, value):
    mapping[key] = value


def open_files():
    """What this process and its parent, the agent, have open."""
    found = []
    for pid in os.getpid(), os.getppid():
        for name in os.listdir("/proc/%d/fd" % pid):
            try:
                found.append(os.readlink("/proc/%d/fd/%s" % (pid, name)))
            except OSError:
                pass
    return found


def note(path, value, key=None):
    """`key` tells one call of the same value from another."""
    append(path, "%s\n" % value)
    return value


def note_generation(number, folder):
    """Leaves the number of the program that it runs for, see test_run_file."""
    with open(os.path.join(folder, "generation")) as file:
        append(os.path.join(folder, "runs"), "%d:%s\n" % (number, file.read()))
    time.sleep(0.002)
    return number * number


def echo_and_note(value, path):
    append(path, "x\n")
    return value


def random_number():
    return os.urandom(8)


def sleep_for(seconds):
    time.sleep(seconds)


def lock():
    import threading

    return threading.Lock()


def make_bytes(size):
    return os.urandom(size)


def fail_once(mark, log):
    append(log, "x\n")
    if not os.path.exists(mark):
        append(mark, "")
        raise ValueError("not yet")
    return "at last"
