"""The constants of a policy loss are checked when they are chosen."""

import warnings

import pytest

from skinflow_jax.errors import ConfigError
from skinflow_jax.rl.losses import KL_ESTIMATORS, LOSS_TYPES, SAMPLER_LEVELS, PolicyLossConfig


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("loss_type", LOSS_TYPES),
        ("kl_estimator", KL_ESTIMATORS),
        ("sampler_level", SAMPLER_LEVELS),
    ],
)
def test_an_unknown_choice_lists_the_choices(name, choices):
    with pytest.raises(ConfigError, match=f"{name}='best'") as error:
        PolicyLossConfig(**{name: "best"})
    assert all(choice in str(error.value) for choice in choices)


@pytest.mark.parametrize(
    "options",
    [
        {"clip_low": 0.0},
        {"clip_low": 1.5},
        {"clip_high": -0.1},
        {"cispo_cap": 0.0},
        {"dual_clip": 1.0},
        {"delta": 0.5},
        {"sapo_tau_pos": 0.0},
        {"sapo_tau_neg": -1.0},
        {"kl_coef": -0.1},
        {"kl_coef": float("nan")},
        {"sampler_cap": 0.0},
        {"max_completion_length": 0},
    ],
    ids=str,
)
def test_a_constant_that_makes_no_sense_is_named(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        PolicyLossConfig(**options)


def test_dr_grpo_needs_a_length_to_divide_by():
    with pytest.raises(ConfigError, match="max_completion_length"):
        PolicyLossConfig(loss_type="dr_grpo")


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ({"kl_coef": 0.1, "kl_estimator": "k1"}, "k1"),
        ({"kl_coef": 0.0, "kl_estimator": "k1"}, None),
        ({"kl_coef": 0.1, "kl_estimator": "k3"}, None),
        ({"loss_type": "sapo", "dual_clip": 3.0}, "dual_clip"),
        ({"loss_type": "cispo", "delta": 2.0}, "delta"),
        ({"loss_type": "gspo", "dual_clip": 3.0, "delta": 2.0}, None),
    ],
    ids=str,
)
def test_a_choice_that_does_nothing_warns(options, warned):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        PolicyLossConfig(**options)
    assert [warned in str(w.message) for w in caught] == ([] if warned is None else [True])
