"""Every number of a config states its range, and nothing outside it comes in from anywhere."""

import dataclasses
import math
import typing
from collections.abc import Mapping

import numpy as np
import pytest

from skinflow_jax.config import OPTIONS, RunConfig, load_config
from skinflow_jax.data.tasks import PAPERS
from skinflow_jax.errors import ConfigError
from skinflow_jax.models.config import DveConfig, LoraConfig, VlmConfig
from skinflow_jax.training.optimizer import OptimizerConfig
from skinflow_jax.typed_fields import (
    INT32_MAX,
    Finite,
    Several,
    Whole,
    check_fields,
    declarations,
    fields_of,
    from_dict,
    typed,
)

FIELDS = dict(fields_of(RunConfig)) | {f"data.options.{k}": v for k, v in OPTIONS.items()}


def numbers_of(hint, bounds=None):
    """(type, its range or None) of each number within a type hint."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        base, bounds = arguments
        yield from numbers_of(base, None if isinstance(bounds, Several) else bounds)
    elif hint in (int, float):
        yield hint, bounds
    else:
        for inner in arguments:
            yield from numbers_of(inner, bounds if origin is not tuple else None)


def bounds_of(key):
    return [bounds for _, bounds in numbers_of(FIELDS[key])]


NUMBERS = {key: bounds_of(key)[0] for key in FIELDS if bounds_of(key)}


def without_range(cls):
    for name, hint in fields_of(cls):
        wanted = {int: Whole, float: Finite}
        for kind, bounds in numbers_of(hint):
            if not isinstance(bounds, wanted[kind]):
                yield name


@pytest.mark.parametrize("cls", [RunConfig, VlmConfig])
def test_every_number_of_a_config_states_its_range(cls):
    assert list(without_range(cls)) == []


def test_a_new_number_without_a_range_would_be_seen():
    @dataclasses.dataclass
    class Inner:
        good: typing.Annotated[int, Whole(1)] = 1
        many: typing.Annotated[tuple[int, ...], Several()] = (1,)
        optional: float | None = None
        table: Mapping[str, int] = dataclasses.field(default_factory=dict)
        wrong: typing.Annotated[float, Whole(1)] = 1.0

    @dataclasses.dataclass
    class Outer:
        inner: Inner
        text: str = ""

    Inner.__module__ = Outer.__module__ = __name__
    Outer.__annotations__["inner"] = Inner
    assert list(without_range(Outer)) == [
        f"inner.{n}" for n in ("many", "optional", "table", "wrong")
    ]


def test_what_holds_any_value_is_known_here():
    """Options are checked by OPTIONS; anything else of no type would pass unchecked."""
    assert [key for key, hint in FIELDS.items() if typing.Any in typing.get_args(hint)] == [
        "data.options"
    ]


def given(key, value):
    """A config that says so from a file."""
    *parents, last = key.split(".")
    values = group = {"loop": {"steps": 3}}
    for name in parents:
        group = group.setdefault(name, {})
    if key in TABLES:
        value = {TABLES[key]: value}
    group[last] = value
    return values


TABLES = {
    **{"data.cases_of_task": "caption", "data.fractions": "rl"},
    "optimizer.multipliers": "gates",
}
WRONG = [math.nan, math.inf, -math.inf, 10**400, -(10**30), True, "1", [[1]], {}, 1j, np.nan]


@pytest.mark.parametrize("key", NUMBERS)
def test_no_number_takes_what_is_outside_its_range(key):
    named = f"{key}.{TABLES[key]}" if key in TABLES else key
    for value in WRONG:
        with pytest.raises(ConfigError) as caught:
            from_dict(RunConfig, given(key, value))
        line = str(caught.value)
        assert line.startswith(f"config {named}=") and f"must be {NUMBERS[key]}" in line
        assert "\n" not in line and len(line) < 400


@pytest.mark.parametrize("key", [key for key, bounds in NUMBERS.items() if type(bounds) is Whole])
def test_no_count_takes_its_neighbours_a_fraction_or_more_than_int32(key):
    bounds = NUMBERS[key]
    assert bounds.most <= (2**32 - 1 if key.endswith("seed") else INT32_MAX)
    for value in (bounds.least - 1, bounds.most + 1, bounds.least + 0.5, float(bounds.least)):
        if value != bounds.also:
            with pytest.raises(ConfigError, match="must be a whole number from"):
                from_dict(RunConfig, given(key, value))


def test_a_dataclass_made_from_python_is_checked_too():
    with pytest.raises(ConfigError, match=r"config optimizer\.learning_rate=nan must be a finite "):
        OptimizerConfig(learning_rate=math.nan)
    with pytest.raises(ConfigError, match=r"config optimizer\.warmup_steps=2\.5 must be a whole"):
        OptimizerConfig(warmup_steps=2.5)
    config = OptimizerConfig(learning_rate=np.float32(0.5), clip_norm=1)
    assert type(config.learning_rate) is type(config.clip_norm) is float
    with pytest.raises(ConfigError, match=r"algorithm='ppo' is unknown: choose one of sft, grpo"):
        RunConfig(algorithm="ppo")
    classes = {hint for hint in declarations(RunConfig).values() if dataclasses.is_dataclass(hint)}
    for cls in (*classes, DveConfig, LoraConfig):
        for name in declarations(cls):
            required = {"steps": 3} if "steps" in declarations(cls) else {}
            with pytest.raises(ConfigError, match=name):
                cls(**required | {name: object()})


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "words"),
    [
        (Finite(above=0), 1e-30, 1e-50, "must be a finite number above 0 in float32"),
        (Finite(above=0), 3e38, 1e39, "must be a finite number above 0"),
        (Finite(0, below=1), 0.999, 0.999999999999, "of 0 or more and below 1 in float32"),
        (Finite(0, 1), 1, 1.5, "must be a finite number from 0 to 1"),
        (Finite(above=1, most=10), 10, 1, "must be a finite number above 1 and at most 10"),
        (Finite(), -5, math.inf, "must be a finite number"),
        (Whole(2, 5000), 5000, 5001, "must be a whole number from 2 to 5,000"),
        (Whole(1, 9, also=-1), -1, 0, "must be a whole number from 1 to 9, or -1"),
        (Whole(0), np.int64(3), np.float32(3), "must be a whole number from 0 to"),
    ],
)
def test_a_range_says_what_it_takes(bounds, inside, outside, words):
    kind = int if isinstance(bounds, Whole) else float
    hint = typing.Annotated[kind, bounds]
    assert typed(hint, inside, "x") == inside
    with pytest.raises(ConfigError, match=rf"^config x=.* {words}"):
        typed(hint, outside, "x")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("data.tasks", [], "must be 1 or more values"),
        ("data.tasks", ["caption", "caption"], "names a value twice"),
        ("evaluation.tasks", ["caption", "caption"], "names a value twice"),
        ("data.prompt_lengths", [64, 40], "must rise from value to value"),
        ("data.prompt_lengths", [64, 64], "names a value twice"),
        ("data.windows", [4, 0], "config data.windows=0 must be a whole number from 1"),
        ("rl.stop_ids", [2**31], "config rl.stop_ids=2147483648 must be a whole number"),
        ("rl.stop_ids", list(range(9)), "must be at most 8 values"),
        ("data.cases_of_task", {"beauty": 3}, "'beauty' is unknown: choose one of caption"),
        ("data.cases_of_task", {"caption": "abc"}, "data.cases_of_task.caption='abc' must be a"),
        ("data.cases_of_task", 3, "must be a group of keys"),
        ("data.options", {"colour": 1}, "unknown config key data.options.colour: the keys there"),
        ("data.split", "test", "is unknown: choose one of warmup, rl, heldout"),
        ("data.data_root", "", "must be text that is not empty"),
        ("model.init_from", "a\0b", "must be text that is not empty"),
        ("rl.log_kl", 1, "must be True or False"),
        ("rl.reward_weights", ["nan", 1], "must be a finite number from -10000 to 10000"),
        ("rl.reward_weights", [0, 0.0], "with all of them 0 nothing is learned"),
        ("model.dve", {"blocks": []}, "must be 1 or more values"),
        ("rl.loss", {"dual_clip": 1}, "config rl.loss.dual_clip=1 must be a finite number above 1"),
        ("data.count", [1, 2], "must be a whole number"),
    ],
)
def test_other_values_are_named_too(key, value, words):
    *parents, last = key.split(".")
    values = group = {"loop": {"steps": 3}}
    for name in parents:
        group = group.setdefault(name, {})
    group[last] = value
    with pytest.raises(ConfigError) as caught:
        from_dict(RunConfig, values)
    assert words in str(caught.value) and key in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rl.group_size": 60_000, "rl.max_tokens": 24, "batch_size": 8000}, "tokens of a"),
        ({"loop.steps": INT32_MAX, "rl.num_iterations": 2}, "optimizer steps"),
        ({"rl.max_refills": 1000, "batch_size": 800_000, "rl.max_tokens": 4}, "completions of"),
    ],
)
def test_products_that_int32_does_not_count_are_refused(changes, words):
    values = {"algorithm": "grpo", "data": {"completion_length": 512}, "loop": {"steps": 3}}
    from_dict(RunConfig, values)
    for key, value in changes.items():
        group = values
        *parents, last = key.split(".")
        for name in parents:
            group = group.setdefault(name, {})
        group[last] = value
    with pytest.raises(ConfigError, match=words):
        from_dict(RunConfig, values)


def test_the_defaults_lie_in_their_ranges_and_mean_what_they_did():
    config = load_config(None)
    assert config == RunConfig() and config.data.tasks == PAPERS
    check_fields(config)


def test_seeds_end_where_jax_would_begin_anew():
    """jax.random.key takes the lower 32 bits: 2^32 would draw what 0 draws."""
    import jax

    key = jax.random.key_data(jax.random.key(2**32))
    assert (key == jax.random.key_data(jax.random.key(0))).all()
    with pytest.raises(ConfigError, match="from 0 to 4,294,967,295"):
        RunConfig(seed=2**32)
