"""Programs compiled before there is anything to run them on, and what their text says."""

import functools
import re
from collections.abc import Iterator
from typing import Any

import jax


def compile_ahead(function, *arguments, **static) -> tuple[jax.stages.Compiled, Any]:
    """Compile a jitted function for arguments, or their shapes, as they are laid out.

    Args:
      function: from `jax.jit`, or a `functools.partial` of one.
      arguments: arrays, or ShapeDtypeStructs that carry shardings.
      static: its static arguments, besides those that a partial holds.

    Returns:
      The program and what it would give, as ShapeDtypeStructs with shardings: the arguments of the
      next program. A later call with such arrays finds the program compiled.
    """
    if isinstance(function, functools.partial):
        function, static = function.func, function.keywords | static
    lowered = function.lower(*arguments, **static)
    program = lowered.compile()
    outputs = jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        lowered.out_info,
        program.output_shardings,
    )
    return program, outputs


class Compiler:
    """Compiles programs ahead and notes what memory each takes.

    Attributes:
      temporary: by name, the most bytes on a device beyond arguments and results that a program
        of that name takes by the compiler's count: activations, mostly.
    """

    def __init__(self):
        self.temporary: dict[str, int] = {}

    def __call__(self, name: str, function, *arguments) -> Any:
        """What `function` would give, see `compile_ahead`."""
        program, outputs = compile_ahead(function, *arguments)
        size = program.memory_analysis().temp_size_in_bytes
        self.temporary[name] = max(self.temporary.get(name, 0), size)
        return outputs


def lines_within_loops(text: str) -> Iterator[str]:
    """Lines of the computations that loops of a compiled program run, called ones included."""
    computations: dict[str, list[str]] = {}
    name = None
    for line in text.splitlines():
        if line.endswith("{") and not line.startswith(" "):
            name = line.removeprefix("ENTRY ").split(" ")[0].lstrip("%")
            computations[name] = []
        elif name:
            computations[name].append(line)
    pending = [
        body
        for lines in computations.values()
        for line in lines
        if " while(" in line
        for body in re.findall(r"body=%?([\w.\-]+)", line)
    ]
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        for line in computations[name]:
            yield line
            pending += [w for w in re.findall(r"%([\w.\-]+)", line) if w in computations]
