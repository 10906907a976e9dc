"""Any value in any field, from a file or a shell, gives a config or one line, nothing else."""

import json

import numpy as np
from fuzz_cases import fuzz
from hypothesis import given
from hypothesis import strategies as st

from skinflow_jax.config import OPTIONS, RunConfig, load_config, to_dict
from skinflow_jax.errors import ConfigError
from skinflow_jax.models.config import DveConfig, LoraConfig
from skinflow_jax.typed_fields import declarations, fields_of, from_dict

GROUPS = [*declarations(RunConfig), "model.dve", "model.lora", "rl.loss", "data.options.x", "x"]
KEYS = [
    *(name for name, _ in fields_of(RunConfig)),
    *(f"data.options.{name}" for name in OPTIONS),
    *(f"model.dve.{name}" for name in declarations(DveConfig)),
    *(f"model.lora.{name}" for name in declarations(LoraConfig)),
    *("data.cases_of_task.caption", "data.cases_of_task.x"),
    *("optimizer.multipliers.gates", "optimizer.multipliers.x/*"),
    *GROUPS,
]
EDGES = [0, -1, 1, 2**31 - 1, 2**31, 2**32, 2**63, 10**20, 10**400, 1e-50, 1e39, -0.0]
WORDS = ["nan", "inf", "None", "caption", "grpo", "a.py:f", "0x10", "1_000", "~", "\0", "\ud800"]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(EDGES + WORDS)
)
ODD = st.sampled_from(
    [np.float32(3), np.float16("inf"), np.arange(3), np.int64(2), print, object(), b"x", 1j, {1}]
)
VALUES = st.recursive(
    SCALARS | ODD,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.sampled_from([key.split(".")[-1] for key in KEYS]) | SCALARS, inner)
    ),
    max_leaves=8,
)
SHELL = st.text(max_size=40) | VALUES.map(repr) | st.sampled_from(WORDS)


def nested(changes: dict) -> dict:
    values = {"loop": {"steps": 3}}
    for dotted, value in changes.items():
        *parents, last = dotted.split(".")
        group = values
        for name in parents:
            inner = group.get(name)
            group[name] = group = inner if isinstance(inner, dict) else {}
        group[last] = value
    return values


def answered(make) -> None:
    """`make` gives a config that can be written and read again, or one line."""
    try:
        config = make()
    except ConfigError as error:
        line = str(error)
        assert line.strip() and len(line) < 2000
        return
    assert isinstance(config, RunConfig)
    assert from_dict(RunConfig, json.loads(json.dumps(to_dict(config), allow_nan=False))) == config


@fuzz(0.25)
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=1, max_size=3))
def test_values_of_a_file(changes):
    answered(lambda: from_dict(RunConfig, nested(changes)))


@fuzz(0.25)
@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=12), SHELL, min_size=1, max_size=3))
def test_overrides_of_a_shell(overrides):
    answered(lambda: load_config(None, overrides))
