"""No function names a global that its module lacks: the lint cannot say, since shapes are text."""

import builtins
import dis
import importlib.util
import pkgutil

import pytest

import skinflow_jax

# The link to configs/ holds programs; the PyTorch module is imported by its own tests.
MODULES = [
    found.name
    for found in pkgutil.walk_packages(skinflow_jax.__path__, "skinflow_jax.")
    if not {"configs", "torch_dve", "__main__"} & set(found.name.split("."))
]


def globals_read(code):
    """Names that a code object and those within it read as globals."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_GLOBAL":
            yield instruction.argval
    for inner in code.co_consts:
        if hasattr(inner, "co_code"):
            yield from globals_read(inner)


@pytest.mark.parametrize("name", MODULES)
def test_every_global_that_a_function_reads_is_there(name):
    module = importlib.import_module(name)
    code = importlib.util.find_spec(name).loader.get_code(name)
    known = {*vars(module), *vars(builtins)}
    assert sorted(set(globals_read(code)) - known) == []
