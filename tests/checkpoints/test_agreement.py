"""What one of two processes meets, both leave with; the other one is played here."""

import jax
import numpy as np
import pytest

from skinflow_jax.checkpoints import agreement
from skinflow_jax.checkpoints.agreement import together
from skinflow_jax.checkpoints.checksums import Damaged
from skinflow_jax.errors import ConfigError, InputError, Interrupted, RunError, StartAgain

ERRORS = [Damaged, InputError, RunError, StartAgain]


@pytest.fixture
def other(monkeypatch):
    """`other(error)`: the second process met `error` (None: nothing) in the next `together`."""

    def set_other(error):
        grave = 0 if error is None else agreement._gravity(error)
        gather = lambda mine: np.stack([mine, [grave]])  # noqa: E731
        monkeypatch.setattr(agreement.multihost_utils, "process_allgather", gather)

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    return set_other


def met(error):
    raise error


@pytest.mark.parametrize("kind", ERRORS)
def test_both_leave_with_the_error_of_one(other, kind):
    other(None)
    with pytest.raises(kind, match="mine"):
        together(lambda: met(kind("mine")), "folder")
    other(kind("theirs"))
    with pytest.raises(kind, match="folder: another process leaves and says why"):
        together(lambda: "whole", "folder")


def test_of_two_errors_the_graver_counts_and_a_signal_is_the_gravest(other):
    other(RunError("full"))
    with pytest.raises(RunError, match="another process"):
        together(lambda: met(Damaged("mine")), "folder")
    other(StartAgain("SIGTERM"))
    with pytest.raises(StartAgain, match="another process"):
        together(lambda: met(KeyError("a defect")), "folder")
    other(Interrupted("Ctrl-C"))
    with pytest.raises(StartAgain, match="another process"):
        together(lambda: "whole", "folder")
    other(KeyError("a defect"))
    with pytest.raises(RunError, match="another process"):
        together(lambda: "whole", "folder")


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
    with pytest.raises(kind, match="another process"):
        together(lambda: "whole", "folder")


def test_without_an_error_each_has_its_own_result(other):
    other(None)
    assert together(lambda: "mine", "folder") == "mine"
