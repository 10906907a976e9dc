"""What a group costs in memory: G completions, and one prompt."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from random_model import SHALLOW

from skinflow_jax.models.inputs import empty_inputs
from skinflow_jax.models.vlm import ComputeConfig, abstract_model
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.rl.sampler import Rollout, begin_decoding, decode_chunk, prefill_prompts
from skinflow_jax.rl.token_choice import make_sampling
from skinflow_jax.rl.update import PolicyBatch, policy_update
from skinflow_jax.training.state import abstract_state

PROMPT, COMPLETION = 512, 16
OPTIMIZER = optax.sgd(1e-3)

pytestmark = pytest.mark.slow


def update_bytes(prompts, group):
    """Temporary memory of an update."""
    shape = (prompts, group, COMPLETION)
    rollout = Rollout(
        np.zeros(shape, np.int32), np.ones(shape, bool), np.zeros(shape), np.ones(shape[:2], bool)
    )
    batch = PolicyBatch(
        inputs=empty_inputs(prompts, SHALLOW, length=PROMPT, windows=1, images=1),
        rollout=rollout,
        advantages=np.zeros(shape[:2], np.float32),
    )
    program = policy_update.lower(
        abstract_state(abstract_model(SHALLOW), OPTIMIZER),
        batch,
        optimizer=OPTIMIZER,
        config=GrpoConfig(group_size=2, max_tokens=COMPLETION, rewards=("caption",)),
        compute=ComputeConfig(remat="full"),
        micro_batches=1,
    )
    return program.compile().memory_analysis().temp_size_in_bytes


def rollout_bytes(prompts, group):
    """Memory of sampling beside the weights."""
    model = abstract_model(SHALLOW)
    inputs = empty_inputs(prompts, SHALLOW, length=PROMPT, windows=1, images=1)
    prefix = jax.eval_shape(prefill_prompts, model, inputs)
    begin = functools.partial(begin_decoding, group_size=group, max_tokens=COMPLETION)
    decoding = jax.eval_shape(begin, model, prefix, jax.random.key(0), jnp.arange(prompts))
    program = decode_chunk.lower(model, decoding, make_sampling(), jnp.int32(COMPLETION))
    memory = program.compile().memory_analysis()
    # The cache is written where it is: without donation there would be two.
    held = jax.tree.leaves((decoding.cache, decoding.out))
    assert memory.alias_size_in_bytes >= sum(x.size * x.dtype.itemsize for x in held)
    held += jax.tree.leaves(prefix)
    return memory.temp_size_in_bytes + sum(x.size * x.dtype.itemsize for x in held)


@pytest.mark.parametrize("measured", [update_bytes, rollout_bytes])
def test_seven_more_completions_cost_far_less_than_seven_more_prompts(measured):
    """P(Lp + G Lc): repeating the prompt for each completion would cost the latter."""
    alone = measured(1, 1)
    more_completions, more_prompts = measured(1, 8) - alone, measured(8, 1) - alone
    assert more_prompts > 0
    # By tokens it would be 16 / 528; scores of completions on the prompt and logits come to that.
    assert more_completions < 0.25 * more_prompts
