"""What one of two processes meets, both leave with; the other one is played here."""

import jax
import numpy as np
import pytest

from skinflow_jax.checkpoints.agreement import together as of_checkpoints
from skinflow_jax.checkpoints.checksums import Damaged
from skinflow_jax.errors import ConfigError, InputError, Interrupted, RunError, StartAgain
from skinflow_jax.parallel import agreement
from skinflow_jax.parallel.agreement import anywhere, by_the_first, check_same, gather, together

ERRORS = [InputError, RunError, StartAgain]


@pytest.fixture
def other(monkeypatch):
    """`other(error)`: the second process met `error` (None: nothing) in the next `together`."""

    def set_other(error, kinds=()):
        kinds = (*kinds, *ERRORS)
        told = error and [agreement._gravity(error, kinds), agreement._said(error)]
        monkeypatch.setattr(agreement, "gather", lambda mine: [mine, told])

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    return set_other


def met(error):
    raise error


@pytest.mark.parametrize("kind", ERRORS)
def test_both_leave_with_the_error_of_one_and_its_words(other, kind):
    other(None)
    with pytest.raises(kind, match=r"^mine$"):
        together(lambda: met(kind("mine")))
    other(kind("theirs"))
    with pytest.raises(kind, match=r"theirs \(process 1\)"):
        together(lambda: "whole")


def test_a_kind_of_a_room_s_own_stays_its_kind(other):
    other(Damaged("a shard"), [Damaged])
    with pytest.raises(Damaged, match=r"a shard \(process 1\)"):
        of_checkpoints(lambda: "whole")


def test_of_two_errors_the_graver_counts_and_a_signal_is_the_gravest(other):
    other(RunError("full"))
    with pytest.raises(RunError, match=r"full \(process 1\)"):
        together(lambda: met(InputError("mine")))
    other(StartAgain("SIGTERM"))
    with pytest.raises(StartAgain, match="SIGTERM"):
        together(lambda: met(KeyError("a defect")))
    other(Interrupted("Ctrl-C"))
    with pytest.raises(StartAgain, match="Ctrl-C"):
        together(lambda: "whole")
    other(KeyError("a defect"))
    with pytest.raises(RunError, match="KeyError: 'a defect'"):
        together(lambda: "whole")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConfigError("--dtype"), InputError),
        (PermissionError(13, "refused"), InputError),
        (OSError(28, "full"), RunError),
    ],
)
def test_whose_fault_it_is_the_other_is_told_too(other, error, kind):
    other(error)
    with pytest.raises(kind, match=r"\(process 1\)"):
        together(lambda: "whole")


def test_without_an_error_each_has_its_own_result(other):
    other(None)
    assert together(lambda: "mine") == "mine"


def test_a_field_that_differs_between_processes_is_named(monkeypatch):
    config = {"optimizer": {"learning_rate": 1e-5, "b2": 0.9}, "seed": 0}
    theirs = {"optimizer": {"learning_rate": 1e-4, "b2": 0.9}, "seed": 0}
    monkeypatch.setattr(agreement, "gather", lambda mine: [mine, mine, theirs])
    with pytest.raises(ConfigError) as error:
        check_same("config", config)
    assert (
        "process 2 has another config than process 0: optimizer.learning_rate 0.0001, not"
        in str(error.value)
    )
    monkeypatch.setattr(agreement, "gather", lambda mine: [mine, mine])
    check_same("config", config)


def test_an_item_that_fails_in_one_process_ends_all_and_the_end_is_one(other):
    other(None)
    assert list(agreement.agreed(iter("ab"))) == ["a", "b"]
    items = agreement.agreed(iter("ab"))
    assert next(items) == "a"
    other(InputError("a damaged record"))
    with pytest.raises(InputError, match=r"a damaged record \(process 1\)"):
        next(items)


def test_what_the_first_does_for_all_asks_the_others_nothing(monkeypatch):
    """They would answer with what they ask next: a mismatch, or the wrong answer."""
    asked = []

    def all_gather(value):
        asked.append(value)
        return np.stack([value, value])

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(agreement.multihost_utils, "process_allgather", all_gather)
    assert by_the_first(lambda: 1) == 1
    exchanges = len(asked)

    def nested():
        assert gather("own") == ["own"] and not anywhere(False)
        return together(lambda: by_the_first(lambda: 2))

    assert by_the_first(nested) == 2
    assert len(asked) == 2 * exchanges
    with pytest.raises(RunError, match="full"):
        by_the_first(lambda: met(RunError("full")))
    assert len(gather("own")) == 2, "an error ends it too"
