"""`map`: inputs are read ahead of the results, as far as workers need it, and sent in chunks.

The standard library reads all inputs at the call. Here a map reads some at the call and more as its results are taken, so
that an endless or a large input needs little memory. What a program can see of that is the same where it matters:

* A result iterator that is dropped without having been used reads everything at once: `pool.map(f, xs)` alone runs all.
* `shutdown` reads the rest of a map that has not been used yet, or whose inputs have a length, so that its results can be
  taken afterwards. A map over something without a length that is in use reads no more then: when its iterator has given
  the results of what was read, it raises what `submit` raises after a shutdown.
* `buffersize` is the standard library's (3.14): so many inputs ahead, and none of the above.

Without a chunk size, chunks grow while they take less than a millisecond, which is as long as a finished result may have
to wait for the others of its chunk. An item that raises ends its chunk: what came before it is still delivered.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from concurrent.futures import CancelledError, InvalidStateError
from itertools import islice, repeat

from . import _payload, _work
from ._chunk_size import ChunkSize
from ._future import new_future
from ._options import JobOptions

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import Any, Callable, Iterable, Iterator

    from ._client import Client
    from ._sending import Sending
    from ._run_file import RunFile

_CHUNKS_AHEAD = 16
"""Chunks per worker that are read ahead of the results that have been taken."""


class Chunk(_work.Work):
    """Some items of a map, as one job. Its future's result is (results, exception or None)."""

    __slots__ = ("columns", "count", "source")

    def __init__(self, future: Future[Any], source: LazyMap, columns: list[list[Any]]) -> None:
        super().__init__(future, source.fn, source.options)
        self.columns: list[list[Any]] | None = columns
        self.count = len(columns[0])
        self.source = source

    def encode(self, client: Sending) -> bytes:
        assert self.columns is not None
        data, self.lease = client.encoder.columns(self.fn, self.source.blob, self.columns)
        self.columns = None
        self.source.size.learn_bytes(self.count, len(data))
        return data

    def answer(self, client: Client, data: bytes, wall_us: int) -> bool:
        self.source.size.learn_time(self.count, wall_us)
        self.source.size.learn_bytes(self.count, len(data))
        return super().answer(client, data, wall_us)

    def deliver(self, tag: int, value: Any, wall_us: int) -> None:
        outcome: tuple[list[Any], BaseException | None]
        if tag == _payload.VALUE:
            outcome = (value, None)
        elif tag == _payload.PARTIAL:
            results, exception, is_text = value
            kind = _payload.RAISED_TEXT if is_text else _payload.RAISED
            outcome = (results, _work.raised(kind, exception))
        else:
            outcome = ([], _work.raised(tag, value))
        try:
            self.future.set_result(outcome)
        except InvalidStateError:
            pass


class LazyMap:
    """One `map`: its inputs, and the chunks that were sent and whose results have not been taken.

    Inputs are only read in threads of the program's: in the one that calls `map`, takes results, or shuts down.
    """

    def __init__(
        self,
        client: Client,
        fn: Callable[..., Any],
        iterables: tuple[Iterable[Any], ...],
        options: JobOptions,
        chunksize: int | None,
        buffersize: int | None,
    ) -> None:
        self.fn = fn
        self.options = options
        self.blob = 0 if client.run_file is not None else client.function_blob(fn)
        self._client = client
        self._sized = all(hasattr(type(iterable), "__len__") for iterable in iterables)
        self._single = len(iterables) == 1
        self._inputs: Iterator[Any] | None = iter(iterables[0]) if self._single else zip(*iterables)
        self._fixed = chunksize is not None
        self._bounded = buffersize is not None
        self._ahead = buffersize or 0
        # The look-ahead counts items: chunks of a quarter of what each worker may have.
        self.size = ChunkSize(chunksize, max(1, self._ahead // (4 * client.workers)) if self._bounded else 1 << 30)
        self._reading = threading.Lock()
        self._chunks: deque[tuple[Future[Any], int]] = deque()
        self._items_out = 0
        self._begun = False  # the call has returned
        self._used = False  # something has been taken
        self._error: BaseException | None = None  # of the inputs, or of sending them, behind what was read before
        self._iterator: weakref.ref[Iterator[Any]] | None = None

    def results(self, end_time: float | None) -> Iterator[Any]:
        """The iterator for the program. Inputs are read now, as far ahead as is usual."""
        try:
            self._client.add_map(self)
            self._read(False)
            self._begun = True
            iterator = self._iterate(end_time)
            if self._inputs is not None and not self._bounded:
                # A generator that was never used does not run its `finally`.
                self._iterator = weakref.ref(iterator, self._dropped)
        except BaseException:
            self.close()
            raise
        return iterator

    def _iterate(self, end_time: float | None) -> Iterator[Any]:
        try:
            self._used = True
            while True:
                self._read(False)
                if not self._chunks:
                    break
                future, count = self._chunks.popleft()
                if count == 1:
                    # One more than fits, while this one is waited for: as the standard library does.
                    self._items_out -= 1
                    self._read(False)
                try:
                    results, error = future.result(None if end_time is None else end_time - time.monotonic())
                finally:
                    future.cancel()
                    del future
                # No step of this loop is Python, and nothing keeps what has been taken.
                results.reverse()
                yield from map(results.pop, repeat(-1, len(results)))
                if count > 1:
                    self._items_out -= count
                if error is not None:
                    try:
                        raise error
                    finally:
                        del error
            if self._error is not None:
                raise self._error
        finally:
            self.close()

    def read_rest(self, leaving: bool) -> None:
        """Sends all that is left, before the pool takes no more (`leaving`: at the end of the program)."""
        if self._bounded or self._used and (leaving or not self._sized):
            self._stop(RuntimeError("cannot schedule new futures after shutdown"))
        else:
            self._read(True)

    def cancel(self) -> None:
        """Reads no more: the pool is shut down, and pending jobs are cancelled."""
        self._stop(CancelledError())

    def close(self) -> None:
        """Reads no more, and cancels what has not begun."""
        self._stop(None)
        for future, _ in self._chunks:
            future.cancel()
        self._chunks.clear()

    def _dropped(self, _: object) -> None:
        """The iterator is gone."""
        if self._used or self._inputs is None:
            return
        # Mostly it is the statement `pool.map(f, xs)` that has dropped it, and everything is read right here, as the
        # standard library does. The garbage collector may come anywhere, also where a lock is held.
        if self._client.lock.acquire(False):
            self._client.lock.release()
            if not self._reading.locked():  # by this thread, perhaps: the inputs' code has dropped it
                self._read(True)
                return
        threading.Thread(target=self._read, args=(True,), name="orchestrator-map").start()

    def _read(self, everything: bool) -> None:
        with self._reading:
            while self._inputs is not None and (everything or self._wants()):
                self._read_chunk(self._inputs)

    def _wants(self) -> bool:
        if not self._bounded:
            return len(self._chunks) < _CHUNKS_AHEAD * self._client.workers
        return (len(self._chunks) if self._fixed else self._items_out) < self._ahead

    def _read_chunk(self, inputs: Iterator[Any]) -> None:
        if self._client.run_file is not None:
            self._read_recorded(self._client.run_file, inputs)
            return
        size = self.size.items
        if self._bounded and not self._fixed:
            size = min(size, self._ahead - self._items_out)
        items: list[Any] = []
        error: BaseException | None = None
        try:
            items.extend(islice(inputs, size))
        except BaseException as raised:
            self._raise_at_once(raised)
            error = raised
        if items:
            count = len(items)
            future = new_future()
            chunk = Chunk(future, self, [items] if self._single else [list(column) for column in zip(*items)])
            del items
            try:
                self._client.submit(chunk, self._begun)
            except BaseException as raised:
                self._raise_at_once(raised)
                error = raised
            else:
                self._chunks.append((future, count))
                self._items_out += count
        else:
            count = 0
        if error is not None or count < size:
            self._stop(error)

    def _read_recorded(self, file: RunFile, inputs: Iterator[Any]) -> None:
        """The same with a run file, where each item is a job of its own."""
        from ._recorded import submit

        future = new_future()
        try:
            item = next(inputs)
            args = (item,) if self._single else item
            submit(self._client, file, future, self.fn, args, {}, self.options, True, self._begun)
        except StopIteration:
            self._stop(None)
        except BaseException as raised:
            self._raise_at_once(raised)
            self._stop(raised)
        else:
            self._chunks.append((future, 1))
            self._items_out += 1

    def _raise_at_once(self, error: BaseException) -> None:
        """Raises it in the call itself, and Ctrl-C always. Errors of further inputs come behind the results before them."""
        if not self._begun:
            raise error
        if not isinstance(error, Exception):
            self._stop(error)
            raise error

    def _stop(self, error: BaseException | None) -> None:
        if self._inputs is not None:
            self._error = error
            self._client.remove_map(self)
            self._inputs = None  # last: after Ctrl-C in between, it is done once more
