"""Every field of the config has a rule for resumes: a change is refused, told or harmless."""

import dataclasses
import typing
from pathlib import Path

import pytest

from skinflow_jax.config import RunConfig, to_dict
from skinflow_jax.errors import ConfigError
from skinflow_jax.models.config import DveConfig, LoraConfig
from skinflow_jax.runs.resume_rules import (
    FIXED,
    FREE,
    IN_ARRAYS,
    RULES,
    TOLD,
    changes,
    check_changes,
    flat,
)

ROOT = Path(__file__).parents[2]
WHOLE = {"model.dve", "model.lora", "data.options", "data.fractions", "data.cases_of_task"}


def fields(cls=RunConfig, where=""):
    """Dotted names of all fields, from the dataclasses themselves."""
    for entry in dataclasses.fields(cls):
        hint, name = typing.get_type_hints(cls)[entry.name], f"{where}{entry.name}"
        if dataclasses.is_dataclass(hint) and name not in WHOLE:
            yield from fields(hint, f"{name}.")
        else:
            yield name


NAMES = sorted(fields())
CONFIG = to_dict(RunConfig())


def flipped(name):
    """The config as JSON holds it, with another value of one field."""
    config = to_dict(RunConfig())
    *groups, last = name.split(".")
    place = config
    for group in groups:
        place = place[group]
    place[last] = "another value"
    return config


def test_the_table_names_exactly_the_fields_that_there_are():
    assert sorted(RULES) == NAMES
    assert set(RULES.values()) == {FREE, TOLD, FIXED}


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_field_is_refused_by_name_told_or_on_the_harmless_list(name):
    [change] = changes(CONFIG, flipped(name))
    assert change.name == name
    if RULES[name] == FIXED:
        with pytest.raises(ConfigError) as error:
            check_changes([change], [], "runs/x")
        message = str(error.value)
        assert f"{name} was" in message and "'another value'" in message and "\n" not in message
        if name in IN_ARRAYS:
            return
        assert f"--allow-changed={name}" in message
        assert check_changes([change], [name], "runs/x") == [change], "allowed, but told"
        if "." in name:
            assert check_changes([change], [name.split(".")[0]], "runs/x") == [change]
    else:
        told = check_changes([change], [], "runs/x")
        assert told == ([change] if RULES[name] == TOLD else [])


@pytest.mark.parametrize("name", IN_ARRAYS)
def test_what_the_arrays_are_made_of_cannot_be_allowed_to_change(name):
    """The model comes from the checkpoint: the change would be told and not made."""
    assert RULES[name] == FIXED
    for allowed in ([], [name], [name.split(".")[0]]):
        with pytest.raises(ConfigError, match=f"{name} was .*--config.model.init_from=runs/x$"):
            check_changes(changes(CONFIG, flipped(name)), allowed, "runs/x")


def test_all_refused_fields_are_named_at_once():
    found = changes(CONFIG, flipped("seed") | {"algorithm": "grpo"})
    with pytest.raises(ConfigError, match=r"algorithm was 'sft', .*; seed was 0, "):
        check_changes(found, [], "runs/x")
    with pytest.raises(ConfigError, match="seed was"):
        check_changes(found, ["algorithm"], "runs/x")


def test_a_field_that_nobody_decided_on_is_refused():
    with pytest.raises(ConfigError, match=r"data\.new_field was None, the config says 3"):
        check_changes(
            changes(CONFIG, {**CONFIG, "data": CONFIG["data"] | {"new_field": 3}}), [], "x"
        )


def test_a_name_that_is_no_field_cannot_be_allowed():
    with pytest.raises(ConfigError, match="--allow-changed=sead: there is no such field"):
        check_changes([], ["sead"], "x")


def test_more_steps_are_told_where_the_learning_rate_depends_on_them():
    longer = {**CONFIG, "loop": CONFIG["loop"] | {"steps": 7}}
    assert check_changes(changes(CONFIG, longer), [], "x") == []
    cosine = {**longer, "optimizer": CONFIG["optimizer"] | {"schedule": "cosine"}}
    told = check_changes(changes(CONFIG, cosine), [], "x")
    assert [change.name for change in told] == ["optimizer.schedule", "loop.steps"]


def test_a_config_is_equal_to_itself_after_json_and_groups_are_whole():
    grown = RunConfig(
        model=dataclasses.replace(
            RunConfig().model, dve=DveConfig(groups=4), lora=LoraConfig(rank=2)
        )
    )
    assert changes(to_dict(grown), to_dict(grown)) == []
    [change] = changes(CONFIG, {**CONFIG, "model": to_dict(grown)["model"] | {"lora": None}})
    assert change.name == "model.dve"


def test_the_table_in_the_documentation_is_that_of_the_code():
    text = (ROOT / "docs" / "reliability.md").read_text()
    for name, rule in RULES.items():
        assert f"| `{name}` | {rule} |" in text, f"docs/reliability.md: {name} is {rule}"
    assert len(flat(CONFIG)) == len(RULES)


def test_a_field_that_an_earlier_version_did_not_have_is_its_default():
    before = to_dict(RunConfig())
    del before["data"]["augmentation"], before["mesh"]
    assert changes(before, CONFIG) == []
    [change] = changes(before, flipped("data.augmentation"))
    assert change.before == [] and change.now == "another value"
