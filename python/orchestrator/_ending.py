"""How pools end without being asked: with the program, by Ctrl-C, in the child of a fork, or with their agent."""

from __future__ import annotations

import os
import sys
import threading

TYPE_CHECKING = False  # type checkers know the name; `typing` itself takes long to import
if TYPE_CHECKING:
    from typing import Any, Callable

    from ._agent import Agent
    from ._client import Client
    from ._sending import Sending
    from ._connection import Connection
    from ._segments import Segments

clients: set[Client] = set()
"""Those whose reader runs."""

is_exiting = False
"""Whether the program ends: no job is taken any more."""


def agent_failed(message: str) -> Callable[[], BaseException]:
    """Makes `AgentFailed`s: each future gets one of its own."""

    def make() -> BaseException:
        from ._errors import AgentFailed

        return AgentFailed(message)

    return make


def initializer_failed(message: str, traceback: str | None = None) -> Callable[[], BaseException]:
    """Makes `InitializerFailed`s."""

    def make() -> BaseException:
        from ._errors import InitializerFailed

        error: BaseException = InitializerFailed(message)
        if traceback is not None:
            from ._payload import with_cause

            with_cause(error, f'\n"""\n{traceback}"""')
        return error

    return make


def why(
    reason: str | None,
    status: int | None,
    ready: bool,
    connection: Connection,
    segments: Segments,
    agent: Agent,
    initializer: bool,
) -> Callable[[], BaseException]:
    """Makes the error of a pool whose agent has ended, though nobody has asked it to. To be called before the segments are
    closed."""
    if reason is not None:
        return agent_failed(reason)
    if ready:
        return agent_failed(f"the agent has ended, with status {status}")
    complaint = segments.complaint()
    if complaint is not None:
        return initializer_failed(f"the initializer raised {complaint[0]}", complaint[1])
    if initializer:
        return initializer_failed(
            "A process in the pool could not be started, most likely because its initializer failed; standard error shows why"
        )
    text = f"no worker could be started (the agent's exit status is {status})"
    said = connection.said_instead()
    if said:
        text = f"the program {agent.process.program} is no agent for this package: it said {said!r}, and its exit status is {status}"
    return agent_failed(text)


def terminated() -> BaseException:
    """What the standard library says about all jobs of a broken pool."""
    from ._errors import TERMINATED, BrokenProcessPool

    return BrokenProcessPool(TERMINATED)


def loss(client: Sending) -> BaseException:
    """The error of a job that is lost with its pool."""
    return client.broken() if client.broken is not None else terminated()


def shutdown(client: Client, wait: bool, cancel_futures: bool) -> None:
    """What `Executor.shutdown` says."""
    with client.lock:
        if client.forked:
            return
        client.shut = True
        client.space.notify_all()
        maps = list(client.maps)
    for lazy in maps:
        if cancel_futures:
            lazy.cancel()
        else:
            lazy.read_rest(False)
    if cancel_futures:
        client.cancel_pending()
    with client.lock:
        client.end_if_idle()
    if client.agent is not None:
        client.push()
    elif client.run_file is not None:
        client.run_file.close()  # all that was asked for was in it
    if wait:
        join(client)


def terminate(client: Client, interrupted: bool = False) -> None:
    """Ends everything at once: pending jobs are cancelled, and running ones fail. After Ctrl-C (`interrupted`) all are
    cancelled: nobody is interested in errors any more."""
    with client.lock:
        client.shut = client.terminated = True
        client.interrupted = client.interrupted or interrupted
        client.space.notify_all()
        maps = list(client.maps)
        if client.agent is not None and not client.ended and not client.forked:
            client.agent.hang_up()
    for lazy in maps:
        lazy.cancel()
    client.cancel_pending()


def join(client: Client) -> None:
    """Waits until no process and no thread is left."""
    thread = client.thread
    if thread is None or thread is threading.current_thread():
        return
    if client.run_file is not None and client.run_file.thread is threading.current_thread():
        return  # a callback; the reader waits for it
    try:
        thread.join()
    except KeyboardInterrupt:
        # With the standard library's, Ctrl-C reaches the workers as well.
        terminate(client, True)
        raise


def is_interrupt(error: BaseException | None) -> bool:
    """Whether an exception that leaves a `with` block comes from Ctrl-C. Under asyncio it is the cancellation of the main
    task: `asyncio.Runner` counts what it comes from; before Python 3.11, all tasks are cancelled while Ctrl-C leaves `run`."""
    if error is None:
        return False
    if isinstance(error, KeyboardInterrupt):
        return True
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or not isinstance(error, asyncio.CancelledError):
        return False
    if isinstance(error.__context__, KeyboardInterrupt):
        return True
    if threading.current_thread() is not threading.main_thread():
        return False
    import signal

    runner = getattr(getattr(signal.getsignal(signal.SIGINT), "func", None), "__self__", None)
    return bool(getattr(runner, "_interrupt_count", 0))


def _at_exit() -> None:
    """Before the interpreter waits for threads: what was submitted ends, unless Ctrl-C has ended the program."""
    global is_exiting
    is_exiting = True
    last: Any = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    # At a prompt, the last exception is not what ends the program.
    interrupted = isinstance(last, KeyboardInterrupt) and not hasattr(sys, "ps1")
    leaving = list(clients)
    # After Ctrl-C all jobs are cancelled, and an import would make the interpreter forget that it is to end by that signal.
    if not interrupted and any(client._has_work() for client in leaving):
        _import_errors()
    for client in leaving:
        if interrupted:
            terminate(client, True)
        else:
            _finish(client)
    for client in leaving:
        join(client)
    run_file = sys.modules.get("orchestrator._run_file")
    if run_file is not None:
        for file in list(run_file.open_files):
            file.close()  # the pool had nothing to run


def _import_errors() -> None:
    """Errors of jobs that end from now on need `concurrent.futures.process`, which at its import wants to be called at the
    end of the program; that is refused by now. It has no pools that it would have to end."""
    if "concurrent.futures.process" not in sys.modules and _register is not None:
        setattr(threading, "_register_atexit", lambda *_, **__: None)
        try:
            from . import _errors  # noqa: F401
        finally:
            setattr(threading, "_register_atexit", _register)


def _finish(client: Client) -> None:
    for lazy in list(client.maps):
        lazy.read_rest(True)
    with client.lock:
        client.space.notify_all()
        client.end_if_idle()
    client.push()


def _forget_all() -> None:
    for client in clients:
        client.forget()
    clients.clear()


_register: Any = getattr(threading, "_register_atexit", None)
if _register is not None:
    # As the standard library: `atexit` proper comes after threads have been waited for.
    _register(_at_exit)
else:
    import atexit

    atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
