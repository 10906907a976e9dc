"""Functions called at the same time under a time limit."""

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, wait

_LOOP_THREAD = "reward event loop"


def call_together(
    functions: Mapping[str, Callable], arguments: Callable[[], tuple], *, timeout: float | None
) -> dict[str, Future]:
    """The calls that finished, by name in the order of `functions`, each with result or exception.

    Returns when all have finished, when one has raised, or after `timeout` seconds (None: no
    limit). `arguments` is called for each function, so that what one does to its own reaches no
    other. Coroutine functions share one event loop that lives as long as the process, so a client
    they keep is good for the next call; the others have a thread each (see `thread_name`).

    A coroutine that is late is cancelled. A thread cannot be killed: a late function runs on as a
    daemon until it returns or the process ends, which it does not hold up. No limit reaches
    one that never releases the interpreter's lock, such as a regular expression that backtracks
    without end; run such work in a process of its own.
    """
    calls, tasks = {}, []
    for name, function in functions.items():
        calls[name] = call = Future()
        if is_async(function):
            task = _call_async(call, function, arguments())
            tasks.append(asyncio.run_coroutine_threadsafe(task, _event_loop()))
        else:
            threading.Thread(
                target=_call,
                args=(call, function, arguments()),
                name=thread_name(name, function),
                daemon=True,
            ).start()
    finished = wait(calls.values(), timeout, FIRST_EXCEPTION).done
    for task in tasks:
        task.cancel()
    return {name: call for name, call in calls.items() if call in finished}


def thread_name(name: str, function: Callable) -> str:
    """The thread that a function runs in: one of its own, or that of the shared event loop."""
    return _LOOP_THREAD if is_async(function) else f"reward {name}"


def is_async(function: Callable) -> bool:
    """Whether calling it gives a coroutine, as far as it tells."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )


# BaseException: sys.exit() in a thread or a task would end that alone, and the call never.
def _call(call: Future, function: Callable, arguments: tuple) -> None:
    try:
        call.set_result(function(*arguments))
    except BaseException as error:
        call.set_exception(error)


async def _call_async(call: Future, function: Callable, arguments: tuple) -> None:
    try:
        call.set_result(await function(*arguments))
    except BaseException as error:
        call.set_exception(error)


@functools.cache
def _event_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name=_LOOP_THREAD, daemon=True).start()
    return loop
