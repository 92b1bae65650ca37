"""`AsyncPool.map`: inputs are read ahead of the results, as far as workers need it, and sent in chunks."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, AsyncGenerator, Callable, Iterable, Iterator

from ._async_job import Chunk, Job
from ._chunk_size import ChunkSize
from ._options import JobOptions

if TYPE_CHECKING:
    from ._async_engine import Engine

_CHUNKS_AHEAD = 16
"""Chunks per worker that are read ahead of the results that have been taken."""


async def results(
    pool: Engine,
    options: JobOptions,
    fn: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    chunksize: int | None,
    buffersize: int | None,
) -> AsyncGenerator[Any, None]:
    """The results of a map. Closing it cancels what has not ended."""
    workers = pool._window.workers
    size = ChunkSize(chunksize, max(1, buffersize // (4 * workers)) if buffersize else 1 << 30)
    recorded = pool._run_file is not None
    if recorded:
        size = ChunkSize(1, 1)  # each item is a job of its own
    blob = 0 if recorded else pool._function_blob(fn)
    inputs: Iterator[Any] | None = iter(iterables[0]) if len(iterables) == 1 else zip(*iterables)
    chunks: deque[Any] = deque()
    items_ahead = 0
    failed: BaseException | None = None  # what the inputs have raised, behind what they gave
    try:
        while True:
            while inputs is not None and (
                items_ahead < buffersize if buffersize else len(chunks) < _CHUNKS_AHEAD * pool._window.workers
            ):
                items: list[Any] = []
                most = min(size.items, buffersize - items_ahead) if buffersize else size.items
                try:
                    items.extend(islice(inputs, most))
                except BaseException as error:
                    failed, inputs = error, None
                if len(items) < most:
                    inputs = None
                if items and recorded:
                    chunks.append(pool._take(Job, fn, tuple(items) if len(iterables) == 1 else items[0], {}, options))
                    items_ahead += 1
                elif items:
                    columns = [items] if len(iterables) == 1 else [list(column) for column in zip(*items)]
                    chunk = pool._take(Chunk, fn, columns, None, options, blob, size, len(items))
                    chunks.append(chunk)
                    items_ahead += len(items)
            if not chunks:
                break
            if recorded:
                yield await chunks[0]
                chunks.popleft()
                items_ahead -= 1
                continue
            results, raised = await chunks[0]
            items_ahead -= chunks.popleft().count
            results.reverse()
            while results:
                yield results.pop()
            if raised is not None:
                raise raised
        if failed is not None:
            raise failed
    finally:
        for chunk in chunks:
            chunk.cancel()
