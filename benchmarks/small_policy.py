"""The small random policy that `vs_trl.py` and `roofline.py` measure, and prompts for it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from vs_trl_shared import CLIP_NORM, GROUP, LEARNING_RATE, LOSS, PROMPTS, TOKENS, WEIGHT_DECAY

from skinflow_jax.config import DataConfig
from skinflow_jax.data.chat import prompt_ids
from skinflow_jax.data.images import resize
from skinflow_jax.data.pipeline import Batch, Buckets, Example, prompt_inputs
from skinflow_jax.data.sources.case import MARK
from skinflow_jax.data.tasks import TASKS
from skinflow_jax.models.config import TextConfig, VisionConfig, VlmConfig
from skinflow_jax.models.inputs import window_count
from skinflow_jax.models.vlm import ComputeConfig, init_model
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.rl.learner import GrpoLearner
from skinflow_jax.rl.losses import PolicyLossConfig
from skinflow_jax.runs.cases import open_cases
from skinflow_jax.runs.opening import Policy
from skinflow_jax.runs.policies import train_tokenizer
from skinflow_jax.training.optimizer import OptimizerConfig, make_optimizer

TASK = "diagnosis"
# On two cores as fast as to keep everything (within a tenth, at 896 px slower), in half the memory.
COMPUTE = ComputeConfig(remat="dots")
# Steps after which images come again.
DISTINCT_IMAGES = 8

SIZES = VlmConfig(
    name="small",
    vision=VisionConfig(
        depth=6,
        hidden_size=256,
        intermediate_size=688,
        num_heads=4,
        full_attention_blocks=(2, 5),
        out_hidden_size=512,
    ),
    text=TextConfig(
        vocab_size=2048,
        hidden_size=512,
        intermediate_size=1408,
        num_layers=8,
        num_heads=8,
        num_kv_heads=2,
        mrope_section=(8, 12, 12),
        max_position_embeddings=4096,
    ),
)
"""31.3 million parameters: head size 64 in both halves, 4 query heads a key head, untied head."""


def random_policy(tokenizer_folder: Path) -> Policy:
    """Random weights over a tokenizer of the drawn source's corpus: nothing is downloaded."""
    data = DataConfig(count=300)
    source = open_cases(data, data.split, data.count, tokenizer_folder)
    tokenizer = train_tokenizer(data, source, tokenizer_folder, SIZES.text.vocab_size)
    return Policy(init_model(SIZES.with_tokenizer(tokenizer), seed=0), tokenizer)


def noise_images(side: int) -> np.ndarray:
    """uint8 `[N, side, side, 3]`; what they show does not matter to how long they take."""
    shape = (DISTINCT_IMAGES, side, side, 3)
    return np.random.default_rng(side).integers(0, 256, shape, dtype=np.uint8)


def make_learner(policy: Policy, rewards: Sequence[str]):
    """(learner, optimizer, config) of the setting; no KL, all parameters trained."""
    optimizer = make_optimizer(
        OptimizerConfig(
            learning_rate=LEARNING_RATE, clip_norm=CLIP_NORM, weight_decay=WEIGHT_DECAY
        ),
        steps=1,
    )
    config = GrpoConfig(
        group_size=GROUP,
        max_tokens=TOKENS,
        min_tokens=TOKENS,
        # No completion ends early here, so there is nothing to shrink for.
        compactions=0,
        rewards=tuple(rewards),
        loss=PolicyLossConfig(loss_type=LOSS),
    )
    learner = GrpoLearner(optimizer, policy.tokenizer, config, seed=0, compute=COMPUTE)
    return learner, optimizer, config


def batches(policy: Policy, images: np.ndarray) -> Iterator[Batch]:
    """Prompts for ever, each batch made when it is asked for: resized, cut into patches, packed."""
    config, side = policy.model.config, images.shape[1]
    grid = (side // config.vision.patch_size,) * 2
    asked = MARK + TASKS[TASK].wording()
    length = len(prompt_ids(policy.tokenizer, asked, [grid], config))
    buckets = Buckets((length,), (window_count(grid, config.vision),), TOKENS)
    first = 0
    while True:
        chosen = [images[(first + i) % len(images)] for i in range(PROMPTS)]
        small = [resize(image, min_pixels=28**2, max_pixels=side**2) for image in chosen]
        examples = [Example("noise", TASK, {}, "", {}, (image,), asked) for image in small]
        inputs = prompt_inputs(examples, policy.tokenizer, config, buckets)
        yield Batch(inputs, None, None, examples, PROMPTS)
        first += PROMPTS
