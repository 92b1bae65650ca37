"""What a pool tells about itself."""

from __future__ import annotations

from typing import NamedTuple


class Stats(NamedTuple):
    """How a pool is doing. `submitted` = `pending` + `running` + all that follow."""

    workers: int
    """How many there may be."""
    submitted: int
    pending: int
    """Waiting here, and still to be cancelled."""
    running: int
    """With the agent: running, or sent ahead to a worker."""
    done: int
    """Ended with a result."""
    failed: int
    """Ended with an exception of their own, or because of their pickling."""
    crashed: int
    """Ended because their worker died, or because of a timeout."""
    cancelled: int
