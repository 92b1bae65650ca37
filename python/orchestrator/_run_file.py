"""`run_file=`: a program that was ended, however, goes on where it was when it is started again.

The file is a run file of the command line (docs/run-file.md) with one table more, for what only Python can read. A call is
found again by what it is (`_run_key`); calls that are alike are counted, the first one now is the first one then.

What is written goes through one connection, with one lock. A thread commits results, all that have come within 5 ms
together, and only then ends their futures: what a program has seen is on the disk.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import threading
import time
import weakref

from . import _payload, _work
from ._run_key import Keys, label

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    import sqlite3
    from typing import Any, Callable, Union

    _Then = Callable[[Union[str, None]], None]

_APPLICATION_ID, _VERSION = 0x6F726366, 1
_BATCH_S = 0.005
_MOST_WAITING, _MOST_WAITING_BYTES = 1000, 64 << 20
_MOST_RESULT = 999_000_000
"""Bytes; SQLite has a limit, too."""
_EXECUTOR = "--executor"
"""The first of a run's words, which is none of `orchestrator run`: only a Python program can go on with it."""

_SCHEMA = """
create table run (
    run integer primary key, run_id text not null, began_us integer not null, ended_us integer, failure text,
    version text not null, host text not null, pid integer not null, cwd blob not null, arguments blob not null,
    purpose text not null, fingerprint blob not null
) strict;
create table state (
    one integer primary key check (one = 1), input_whole integer not null, shown integer not null, light integer not null
) strict;
insert into state values (1, 0, 0, 0);
create table unrecorded (run integer not null references run, verdict text not null, jobs integer not null) strict;
create table job (
    job integer primary key autoincrement, key blob not null, seq integer not null, line integer not null, id text,
    item blob, started integer
) strict;
create table outcome (
    n integer primary key, job integer not null unique references job, run integer not null references run,
    verdict text not null, exit integer, signal integer, errno integer, error text, attempts integer not null,
    worker integer, started_us integer, wall_us integer, user_us integer, system_us integer, max_rss_kib integer,
    leaked integer, stdout_omitted integer, stderr_omitted integer, stdout blob, stderr blob, value blob,
    stdout_file text, stderr_file text, value_file text
) strict;
create table attempt (
    job integer not null references job, run integer not null references run, attempt integer not null,
    verdict text not null, exit integer, signal integer, errno integer, error text, stderr blob
) strict;
create index attempt_job on attempt (job);
create view verdict as
select o.n, o.job, j.seq, j.line, coalesce(json_extract(j.id, '$'), cast(j.item as text)) as label,
       o.verdict, o.exit, o.signal, o.errno, json_extract(o.error, '$.message') as error, o.attempts, o.worker, o.run,
       strftime('%Y-%m-%dT%H:%M:%fZ', o.started_us / 1e6, 'unixepoch') as started,
       o.wall_us / 1e6 as duration, (o.user_us + o.system_us) / 1e6 as cpu, o.max_rss_kib, o.leaked,
       o.stdout_omitted, o.stderr_omitted,
       o.stdout, o.stderr, o.value, o.stdout_file, o.stderr_file, o.value_file
from outcome o join job j using (job);
create table call (                  -- of the Python package: which call a job is, and what it has returned, pickled
    job integer primary key references job, key blob not null, run integer not null, result blob
) strict;
create index call_done on call (key, run, job) where result is not null;
create index call_open on call (key, run, job) where result is null;
"""
_OUTCOME = "n job run verdict exit signal error attempts started_us wall_us stderr".split()
# By the numbers of the protocol. A job that was cancelled or lost has none, and is run again.
_VERDICTS = {1: "failed", 2: "signaled", 3: "timeout", 5: "rejected", 8: "crashed", 9: "oom", 10: "quarantined", 11: "unkillable"}


class RunFileError(Exception):
    """The run file cannot be used, or a result cannot be put in it."""


class _End:
    """How a job has ended: what is written, and then done."""

    __slots__ = ("row", "result", "then", "size")

    def __init__(self, row: dict[str, Any], result: bytes | None, then: _Then) -> None:
        self.row = row
        self.result = result
        self.then = then  # with what has kept it from being written, if something has
        self.size = len(result or b"")


class RunFile:
    """An open run file, for one executor."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = os.fspath(path)
        if not isinstance(self.name, str):
            raise TypeError("run_file must be a path, as text")
        self._keys = Keys()
        self._lock = threading.Lock()  # for the connection
        self._changed = threading.Condition()  # for what follows
        self._waiting: list[_End] = []
        self._waiting_bytes = 0
        self._closing = False
        self.thread: threading.Thread | None = None
        self.committed: Callable[[], None] = lambda: None
        """Called when there is room again."""
        self.broken: str | None = None
        """Why nothing more can be written."""
        self._seq = 0
        self._closed = True
        self._lock_file = self._take_lock()
        try:
            self._connection = self._open()
        except BaseException:
            os.close(self._lock_file)
            raise
        self._closed = False
        open_files.add(self)

    # ---- Opening

    def _refuse(self, reason: object) -> RunFileError:
        return RunFileError(f"run file {self.name}: {reason}")

    def _take_lock(self) -> int:
        path = os.path.realpath(os.path.dirname(os.path.abspath(self.name)))
        self._path = os.path.join(path, os.path.basename(self.name))
        if os.path.lexists(self._path) and (os.path.islink(self._path) or not os.path.isfile(self._path)):
            raise self._refuse("it is no regular file")
        try:
            lock = os.open(self._path + "-lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._refuse(error.strerror) from None
        try:
            for tries in range(6, -1, -1):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if not tries:
                        holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
                        raise self._refuse(f"another program writes to it (process {holder or 'unknown'})") from None
                    time.sleep(0.02)  # perhaps somebody only looks who has it
            os.ftruncate(lock, 0)
            os.pwrite(lock, b"%d\n" % os.getpid(), 0)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _open(self) -> sqlite3.Connection:
        try:
            import sqlite3
        except ImportError:
            raise self._refuse("this Python was built without sqlite3, which run files need") from None
        if sqlite3.sqlite_version_info < (3, 37):
            raise self._refuse(f"run files need SQLite 3.37 or later; this Python has {sqlite3.sqlite_version}")
        self._error = sqlite3.Error, OverflowError
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=5)
        except (OSError, sqlite3.Error) as error:
            raise self._refuse(getattr(error, "strerror", None) or error) from None
        try:
            self._begin(connection)
        except sqlite3.Error as error:
            connection.close()
            raise self._refuse(error) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _begin(self, connection: sqlite3.Connection) -> None:
        def one(query: str) -> Any:
            return connection.execute(query).fetchone()[0]

        tables, version = one("select count(*) from sqlite_master"), one("pragma user_version")
        if tables and one("pragma application_id") != _APPLICATION_ID:
            raise self._refuse("it is a database of another program")
        # Whose it is can be told in every version, and says more.
        newest = "select run, run_id, arguments from run order by run desc limit 1"
        last = connection.execute(newest).fetchone() if tables else None
        if last is not None and last[2].split(b"\0")[0] != _EXECUTOR.encode():
            raise self._refuse("it is one of `orchestrator run`; give the executor a file of its own")
        if tables and version != _VERSION:
            raise self._refuse(f"it is of another version ({version}) of orchestrator")
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.execute("begin immediate")
        if not tables:
            for statement in _SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute(f"pragma application_id = {_APPLICATION_ID}")
            connection.execute(f"pragma user_version = {_VERSION}")
        last = connection.execute(newest).fetchone()
        self._run = last[0] + 1 if last else 1
        try:
            cwd = os.fsencode(os.getcwd())
        except OSError:
            cwd = b""  # it is gone
        words = [_EXECUTOR, *(sys.argv or [""])]
        connection.execute(
            "insert into run values (?, ?, ?, null, null, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._run, last[1] if last else os.urandom(8).hex(), _now_us(), _version(), socket.gethostname(), os.getpid(), cwd,
                b"".join(os.fsencode(word) + b"\0" for word in words), _text(f"python {words[1]} in {os.fsdecode(cwd)}"),
                b"\0" * 32,
            ),
        )  # fmt: skip
        connection.execute("update state set input_whole = 0")
        connection.execute("commit")

    # ---- Calls

    def enter(self, name: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, bytes | None]:
        """The job's number for a call, and the pickle of its result if that is recorded. Raises what pickle raises."""
        key = self._keys.key(fn, args, kwargs)
        with self._lock:
            if self.broken is not None:
                raise RunFileError(self.broken)
            if self._closed:
                raise self._refuse("it has been closed")
            try:
                return self._enter(key, name, args, kwargs)
            except self._error as error:
                raise self._refuse(error) from None

    def _enter(self, key: bytes, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, bytes | None]:
        connection = self._connection
        if not connection.in_transaction:
            connection.execute("begin immediate")
        self._seq += 1
        # One with a result before others that are alike: of several tries, one may have succeeded.
        for there in "is not null", "is null":
            found = connection.execute(
                f"select job, result from call where key = ? and run < ? and result {there} order by run, job limit 1", (key, self._run)
            ).fetchone()
            if found:
                break
        if found:
            connection.execute("update call set run = ? where job = ?", (self._run, found[0]))
            return found[0], found[1]
        item = label(name, args, kwargs).encode("utf-8", "backslashreplace")
        job = connection.execute(
            "insert into job (key, seq, line, item) values (?, ?, ?, ?)", (key, self._seq, self._seq, item)
        ).lastrowid
        assert job is not None
        connection.execute("insert into call values (?, ?, ?, null)", (job, key, self._run))
        return job, None

    def returned(self, job: int, pickled: bytes, wall_us: int, then: _Then) -> None:
        """A call has returned; `then` is called when that is on the disk."""
        if len(pickled) > _MOST_RESULT:
            then(str(self._refuse(f"a result of {len(pickled)} bytes is more than it can hold")))
            return
        row = {"verdict": "ok", "exit": 0, "attempts": 1, "started_us": _now_us() - wall_us, "wall_us": wall_us}
        self._put(_End({"job": job, **row}, pickled, then))

    def failed(self, job: int, error: BaseException, raised: bool, wall_us: int | None, then: _Then) -> None:
        """A call has not returned: it has raised (`raised`), or its worker is gone."""
        row: dict[str, Any] = {"job": job, "verdict": "failed", "attempts": 1}
        text = f"{type(error).__name__}: {_payload.text_of(error)}"
        if raised:
            row.update(exit=1, wall_us=wall_us, started_us=None if wall_us is None else _now_us() - wall_us)
        else:
            verdict = _VERDICTS.get(getattr(error, "_outcome", None) or -1)
            if verdict is None:
                then(None)  # cancelled, or lost with the pool: nothing is known of it, and it is run again
                return
            row["verdict"] = verdict
            if hasattr(error, "exit_code"):
                death: Any = error
                text = death.reason
                row.update(exit=death.exit_code, signal=death.signal, attempts=death.attempts)
                row["stderr"] = _text(death.stderr).encode() or None
        row["error"] = json.dumps({"message": _text(text), "location": None, "chain": [], "kind": "Error"})
        self._put(_End(row, None, then))

    def _put(self, end: _End) -> None:
        if self._closed:
            end.then(str(self._refuse("it has been closed")))
            return
        with self._changed:
            self._waiting.append(end)
            self._waiting_bytes += end.size
            if self.thread is None:
                self.thread = threading.Thread(target=self._commit_all, name="orchestrator-run-file", daemon=True)
                self.thread.start()
            self._changed.notify_all()

    def is_full(self) -> bool:
        """Whether so many results wait for the disk that no more jobs are to be sent."""
        return len(self._waiting) >= _MOST_WAITING or self._waiting_bytes >= _MOST_WAITING_BYTES

    # ---- The thread

    def _commit_all(self) -> None:
        last = 0.0
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if not self._waiting:
                    return
            pause = last + _BATCH_S - time.monotonic()
            if pause > 0:
                with self._changed:
                    if not self._closing and not self.is_full():
                        self._changed.wait_for(lambda: self._closing or self.is_full(), pause)
            with self._changed:
                ends, self._waiting, self._waiting_bytes = self._waiting, [], 0
                self._changed.notify_all()
            self._commit(ends)
            last = time.monotonic()
            for end in ends:
                _work.Work.resolve(end.then, self.broken)
            del ends, end  # pyright: ignore[reportPossiblyUnboundVariable]  # there was one
            _work.Work.resolve(self.committed)

    def _commit(self, ends: list[_End]) -> None:
        try:
            with self._lock:
                if self.broken is None:
                    self._write(ends)
        except Exception as error:
            self.broken = str(self._refuse(f"it cannot be written: {error}"))

    def _write(self, ends: list[_End]) -> None:
        connection = self._connection
        if not connection.in_transaction:
            connection.execute("begin immediate")
        for end in ends:
            connection.execute(
                "insert into attempt select job, run, attempts, verdict, exit, signal, errno, error, stderr from outcome where job = ?",
                (end.row["job"],),
            )
            end.row["run"] = self._run
            connection.execute(
                f"insert or replace into outcome ({', '.join(end.row)}) values ({', '.join('?' * len(end.row))})",
                tuple(end.row.values()),
            )
            if end.result is not None:
                connection.execute("update call set result = ? where job = ?", (end.result, end.row["job"]))
        connection.execute("commit")

    # ---- End

    def close(self, whole: bool = True) -> None:
        """When all futures have ended: commits what there is, and gives the file up. `whole`: nobody has broken off what the
        program was about."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        thread = self.thread
        if thread is threading.current_thread():
            return  # in a callback; whoever closes it next does the rest
        if thread is not None:
            thread.join()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                if self.broken is None:
                    if not self._connection.in_transaction:
                        self._connection.execute("begin immediate")
                    self._connection.execute("update run set ended_us = ? where run = ?", (_now_us(), self._run))
                    self._connection.execute(
                        "update state set input_whole = ?, shown = (select coalesce(max(n), 0) from outcome)", (whole,)
                    )
                    self._connection.execute("commit")
                self._connection.close()
            except self._error:
                pass  # what counts has been committed
            os.close(self._lock_file)

    def forget(self) -> None:
        """In the child of a fork: the file is the parent's. SQLite's connection stays as it is: to close it would write."""
        _inherited.append(self._connection)
        if not self._closed:
            self._closed = True
            os.close(self._lock_file)
        self._lock = threading.Lock()
        self._changed = threading.Condition()


    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self._connection.close()
            os.close(self._lock_file)


open_files: weakref.WeakSet[RunFile] = weakref.WeakSet()
_inherited: list[Any] = []


def _in_forked_child() -> None:
    for file in list(open_files):
        file.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)


def _text(text: str) -> str:
    """Without what no file can hold as text."""
    return text.encode("utf-8", "backslashreplace").decode()


def _now_us() -> int:
    return time.time_ns() // 1000


def _version() -> str:
    from . import __version__

    return __version__
