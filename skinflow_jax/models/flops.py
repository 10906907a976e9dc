"""Floating-point operations of the model, counted from its sizes: 2 per multiply and add.

Not taken from the compiler's cost analysis, which counts a scanned layer once. Masked and padded
slots do not count, so that utilisation is about useful work; norms, rope and softmax are left out.
"""

import numpy as np

from skinflow_jax.models.config import TextConfig, VisionConfig, VlmConfig

# Dense bfloat16 FLOP/s of a chip, from the makers' data sheets, by JAX's `device_kind`.
PEAK_FLOPS = {
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5p": 459e12,
    "TPU v5": 459e12,
    "TPU v6 lite": 918e12,
    "NVIDIA A100": 312e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
}


def peak_flops(device_kind: str) -> float | None:
    """Peak of the device, or None where it is not known (CPUs)."""
    matching = [kind for kind in PEAK_FLOPS if device_kind.startswith(kind)]
    return PEAK_FLOPS[max(matching, key=len)] if matching else None


def vision_flops(config: VisionConfig, patches: np.ndarray) -> float:
    """Forward pass of images with so many patches each."""
    size, merged = config.hidden_size, config.hidden_size * config.merge_unit
    block = 4 * size**2 + 3 * size * config.intermediate_size
    merger = merged**2 + merged * config.out_hidden_size
    linear = config.patch_dim * size + config.depth * block + merger / config.merge_unit
    full = len(config.full_attention_blocks)
    seen = full * patches + (config.depth - full) * np.minimum(patches, config.window_patches)
    return float(np.sum(2 * patches * linear + 4 * patches * seen * size))


def decoder_flops(config: TextConfig, tokens: np.ndarray, before: np.ndarray) -> float:
    """Forward pass, without logits, of rows of so many `tokens` after so many others."""
    size, head, heads = config.hidden_size, config.head_dim, config.num_heads
    attention = 2 * size * head * (heads + config.num_kv_heads)
    layer = attention + 3 * size * config.intermediate_size
    seen = before + (tokens + 1) / 2
    per_layer = 2 * tokens * layer + 4 * tokens * seen * heads * head
    return float(config.num_layers * np.sum(per_layer))


def logits_flops(config: TextConfig, tokens: float) -> float:
    """The output head at so many tokens."""
    return 2.0 * tokens * config.hidden_size * config.vocab_size


def step_flops(
    config: VlmConfig,
    prompts: tuple[np.ndarray, np.ndarray],
    completion_mask: np.ndarray,
    *,
    rollouts: int = 1,
    iterations: int = 1,
    references: int = 0,
) -> float:
    """A GRPO step: a rollout, `references` forward passes and `iterations` of learning.

    What is recomputed does not count; of a backward pass counts what `learning_passes` says.

    Args:
      config: sizes.
      prompts: patch mask `[P, I, S]` and token mask `[P, L]`.
      completion_mask: `[P, G, T]`.
      rollouts: how often it was sampled; 0 where that is counted elsewhere.
      iterations: passes of learning over the rollout.
      references: passes for log-probabilities of old or reference policy.
    """
    patch_mask, token_mask = prompts
    lengths, prompt = completion_mask.sum(axis=-1), token_mask.sum(axis=-1)
    vision = vision_flops(config.vision, patch_mask.sum(axis=-1).ravel())
    language = (
        decoder_flops(config.text, prompt, np.zeros_like(prompt))
        + decoder_flops(config.text, lengths, prompt[:, None])
        + logits_flops(config.text, lengths.sum())
    )
    of_vision, of_language = learning_passes(config)
    learning = of_vision * vision + of_language * language
    return (rollouts + references) * (vision + language) + iterations * learning


def learning_passes(config: VlmConfig) -> tuple[int, int]:
    """What learning costs of (vision, language), in forward passes of each.

    One forwards, one more where a gradient passes through, one more where all weights get theirs.
    Those of adapters and of dynamic maps alone are left out.
    """
    if config.lora is not None:
        return (2 if config.lora.vision or config.vision.dve else 1), 2
    return {"all": (3, 3), "language": (1, 3), "vision": (3, 2)}[config.trainable]
