"""What every command that asks an endpoint does: its key and model, many requests at a time."""

import asyncio
import os
import re
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from skinflow_jax.errors import STOPPED, InputError
from skinflow_jax.typed_fields import shown

DEFAULT_KEY = "OPENAI_API_KEY"
_T = TypeVar("_T")


def read_key(variable: str | None) -> tuple[str, str | None]:
    """The environment variable of the key, and the key; None where none is needed."""
    name = DEFAULT_KEY if variable is None else variable
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):  # not shown: it may be the key
        raise InputError("--key-variable must be the name of an environment variable")
    key = os.environ.get(name, "").strip() or None
    if variable is not None and key is None:
        # A name in capitals is no key.
        told = name if name == name.upper() and len(name) <= 40 else "of --key-variable"
        raise InputError(f"environment variable {told} is not set; it must hold the key")
    return name, key


def check_model(name: str, option: str = "--model") -> None:
    """Raise InputError for what can be no model's name."""
    if not name.strip() or not name.isprintable():
        raise InputError(f"{option}={shown(name)} is no name of a model")


def counted(counts: Mapping[str, int]) -> str:
    """Kinds and how often, in words."""
    return ", ".join(f"{kind} {count:,}" for kind, count in sorted(counts.items()))


async def all_of(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Wait for all; the first error ends the others and is raised as it is, not in a group."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def to_the_end(work: Coroutine[Any, Any, _T]) -> _T:
    """`asyncio.run` that a signal ends wherever it comes: a callback's errors are only logged."""
    stopped: list[BaseException] = []

    async def watched() -> _T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            if isinstance(context.get("exception"), STOPPED):
                stopped.append(context["exception"])
                task.cancel()
            else:
                loop.default_exception_handler(context)

        loop.set_exception_handler(handle)
        return await work

    try:
        return asyncio.run(watched())
    except asyncio.CancelledError:
        if stopped:
            raise stopped[0] from None
        raise
