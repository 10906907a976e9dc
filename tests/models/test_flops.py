"""Counted operations are those that the compiler counts, where it can count."""

import dataclasses

import jax
import numpy as np
import pytest
from random_model import SHALLOW, random_completions, random_inputs

from skinflow_jax.models.config import LoraConfig
from skinflow_jax.models.flops import learning_passes, peak_flops, step_flops
from skinflow_jax.models.log_probs import token_log_probs
from skinflow_jax.models.trainable import joined, trained_part
from skinflow_jax.models.vlm import abstract_model, completion_states, prefill

# One layer of each kind: the compiler counts a scanned layer once.
CONFIG = dataclasses.replace(SHALLOW, text=dataclasses.replace(SHALLOW.text, num_layers=1))
GROUP, LENGTH = 4, 16
INPUTS = random_inputs([[(16, 16)], [(16, 16)]], CONFIG)
TOKENS = random_completions((2, GROUP, LENGTH))


def compiled_flops(model):
    """Of the gradient of all log-probabilities by what is trained."""

    def loss(part, model, inputs, tokens):
        model = joined(part, model)
        states = completion_states(model, prefill(model, inputs), tokens)
        return token_log_probs(model, states, tokens)[0].sum()

    gradient = jax.jit(jax.grad(loss))
    return gradient.lower(trained_part(model), model, INPUTS, TOKENS).compile().cost_analysis()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, (3, 3)),
        ({"trainable": "language"}, (1, 3)),
        ({"trainable": "vision"}, (3, 2)),
        ({"lora": LoraConfig(rank=1)}, (1, 2)),
        ({"lora": LoraConfig(rank=1, vision=True)}, (2, 2)),
    ],
)
def test_learning_costs_what_the_compiler_counts(changes, passes):
    config = dataclasses.replace(CONFIG, **changes)
    assert learning_passes(config) == passes
    masks = INPUTS.patch_mask, INPUTS.token_mask
    mask = np.ones((2, GROUP, LENGTH), bool)
    once, twice = (step_flops(config, masks, mask, iterations=n) for n in (1, 2))
    counted = compiled_flops(abstract_model(config))["flops"]
    # The compiler counts masked and recomputed scores and element-wise work as well; it knows that
    # nothing needs the gradient of a pixel.
    assert twice - once == pytest.approx(counted, rel=0.1)


def test_a_chip_of_a_known_kind_has_a_peak():
    assert peak_flops("TPU v6 lite") == 918e12
    assert peak_flops("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_flops("TPU v5 lite") < peak_flops("TPU v5")
    assert peak_flops("cpu") is None
