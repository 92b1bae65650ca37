"""How a pool starts: at its first job, not before, as the standard library's.

The agent comes first. While it starts, and its first worker, this process does what there is still to do, of which most is
importing. So what this package imports for an `Executor` that has not been used is no more than that needs.
"""

from __future__ import annotations

import os
import sys
import threading

from . import _agent, _ending, _prepare

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from ._client import Client
    from ._work import Call

_starting = threading.Lock()
_under_way: _agent.Agent | None = None
"""What a thread is just starting."""


def start(client: Client) -> type[Call]:
    """Starts the agent and the reader of a client, once."""
    global _under_way
    with _starting:
        if client.new_call is not None:
            return client.new_call
        client.check()
        try:
            line = _agent.command_line(_agent.find_agent(), _prepare.worker_command(), client.settings)
            agent = _under_way = _agent.start(line, _agent.environment(client.settings.workers))
        except OSError as error:
            raise _ending.agent_failed(f"the agent cannot be started: {error}")() from error
        try:
            _prepare_connection(client)
            from ._encoder import Encoder
            from ._reader import Reader
            from ._work import Call

            assert client.segments is not None
            client.encoder = Encoder(client.segments, client.new_blob)
            client.thread = threading.Thread(target=Reader(client, agent).run, name="orchestrator", daemon=True)
        except BaseException:
            agent.end()
            _under_way = None
            raise
        _ending.clients.add(client)
        # Last: it is what others look at.
        client.agent, client.new_call = agent, Call
        _under_way = None
        _start_reader(client, agent)
        return Call


def _prepare_connection(client: Client) -> None:
    from . import _payload, _segments
    from ._connection import Connection

    preparation = _prepare.gather()
    client.segments = _segments.Segments()
    try:
        init, client.init_lease = _payload.encode_init(
            preparation, client.segments, client.settings.initializer, client.settings.initargs, _prepare.by_value()
        )
    except Exception as error:
        client.segments.close()
        client.broken = _ending.initializer_failed(f"the initializer cannot be pickled: {error}")
        raise client.broken() from error
    client.connection = Connection("python %d.%d.%d" % sys.version_info[:3], init)


def _start_reader(client: Client, agent: _agent.Agent) -> None:
    assert client.thread is not None
    try:
        client.thread.start()
    except BaseException as error:
        with client.lock:
            if client.reading:
                raise  # Ctrl-C, while its start was waited for: nothing is wrong with the pool
            client.ended = True
            client.broken = _ending.agent_failed(f"the reader cannot be started: {error}")
            lost = client.lose_all()
        client.thread = None
        _ending.clients.discard(client)
        agent.end()
        client.release_all()
        for work in lost:
            work.release(False)
            work.resolve(work.fail, client.broken())
        raise


def _in_forked_child() -> None:
    global _starting, _under_way
    _starting = threading.Lock()  # another thread may have held it
    if _under_way is not None:
        _under_way.drop()
        _under_way = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)
