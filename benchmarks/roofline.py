"""How near a GRPO step comes to what this machine reaches: update by FLOPs, decoding by bytes.

python benchmarks/roofline.py
python benchmarks/roofline.py --side 448 --repeats 9

The policy of `vs_trl.py`, 2 prompts x 8 completions x 128 tokens, float32. The yardsticks, a large
matrix product and passes over a large array, are taken between the repeats, in the same process.
"""

import argparse
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table
from small_policy import COMPUTE, batches, make_learner, noise_images, random_policy
from vs_trl_shared import GROUP, PROMPTS, TOKENS

from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.flops import decoder_flops, logits_flops, vision_flops
from skinflow_jax.models.layers import parameter_count
from skinflow_jax.rl.sampler import decode, prefill_prompts
from skinflow_jax.rl.update import PolicyBatch, policy_update
from skinflow_jax.training.state import create_state


def update_flops(config: VlmConfig, patches: int, prompt_tokens: int) -> dict[str, float]:
    """Of one update by part: forward and, at twice that, backward; padding does not count.

    tests/models/test_flops.py holds the count against the compiler's.
    """
    prompt, none = np.full(PROMPTS, prompt_tokens), np.zeros(PROMPTS)
    rows, before = np.full(PROMPTS * GROUP, TOKENS), np.full(PROMPTS * GROUP, prompt_tokens)
    forward = {
        "vision": vision_flops(config.vision, np.full(PROMPTS, patches)),
        "prompts": decoder_flops(config.text, prompt, none),
        "completions": decoder_flops(config.text, rows, before),
        "logits": logits_flops(config.text, PROMPTS * GROUP * TOKENS),
    }
    return {part: 3 * flops for part, flops in forward.items()}


def decode_bytes(model, prefix) -> dict[str, float]:
    """What one decoding step reads: all weights but the embedding, shared and own keys and values.

    The own cache is read over its whole length at every step, masked where nothing is yet.
    """
    decoder, text = model.decoder, model.config.text
    weights = parameter_count((decoder.layers, decoder.norm, decoder.head))
    own = 2 * text.num_layers * PROMPTS * GROUP * text.num_kv_heads * TOKENS * text.head_dim
    return {
        "weights": 4 * weights,
        "keys and values of prompts": prefix.keys.nbytes + prefix.values.nbytes,
        "keys and values of completions": 4 * own,
    }


class Yardsticks:
    """What the machine reaches: a 2048^3 float32 product; reading, and rewriting, 512 MiB."""

    def __init__(self):
        self._square = jnp.ones((2048, 2048), jnp.float32)
        self._large = jnp.ones(2**27, jnp.float32)
        self._product = jax.jit(lambda x: x @ x)
        self._parts = np.array_split(np.ones(2**27, np.float32), os.cpu_count())
        self._threads = ThreadPoolExecutor(os.cpu_count())
        # In place, so that no page is touched for the first time.
        self._rewrite = jax.jit(jnp.negative, donate_argnums=0)

    def measure(self) -> dict[str, float]:
        """FLOP/s and bytes/s, once."""
        size = self._large.nbytes
        product, _ = timed(self._product, self._square)
        # By NumPy, whose maximum reads at full width; XLA's reductions on CPU do not.
        read, _ = timed(lambda: list(self._threads.map(np.max, self._parts)))
        rewrite, self._large = timed(self._rewrite, self._large)
        return {
            "product": 2 * 2048**3 / product,
            "read": size / read,
            "rewrite": 2 * size / rewrite,
        }


def timed(function, *arguments, **settings):
    """(seconds, result) of a call, waited for."""
    began = time.perf_counter()
    result = jax.block_until_ready(function(*arguments, **settings))
    return time.perf_counter() - began, result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=224, help="pixels of the square images")
    parser.add_argument("--repeats", type=int, default=5, help="timed rounds, after one untimed")
    chosen = parser.parse_args()
    if chosen.side < 28 or chosen.side % 28 or chosen.repeats < 1:
        parser.error("--side must be a multiple of 28, --repeats 1 or more")

    with tempfile.TemporaryDirectory() as folder:
        policy = random_policy(Path(folder))
    _, optimizer, grpo = make_learner(policy, ["diagnosis"])
    config = policy.model.config
    inputs = jax.device_put(next(batches(policy, noise_images(chosen.side))).inputs)
    advantages = jnp.linspace(-1, 1, PROMPTS * GROUP).reshape(PROMPTS, GROUP)
    state, yardsticks = create_state(policy.model, optimizer), Yardsticks()
    key, rows = jax.random.key(0), jnp.arange(PROMPTS)
    sizes = {"group_size": GROUP, "max_tokens": TOKENS}
    settings = {"optimizer": optimizer, "config": grpo, "compute": COMPUTE, "micro_batches": 1}

    spent: dict[str, list[float]] = {}
    for round_ in range(chosen.repeats + 1):
        found = yardsticks.measure()
        _, prefix = timed(prefill_prompts, state.model, inputs, COMPUTE)
        found["decode"], rollout = timed(
            decode, state.model, prefix, key, rows, grpo.sampling, **sizes
        )
        batch = PolicyBatch(inputs, rollout, advantages)
        found["update"], (state, _) = timed(policy_update, state, batch, **settings)
        for name, value in found.items():
            spent.setdefault(name, []).extend([value] if round_ else [])
    median = {name: statistics.median(values) for name, values in spent.items()}

    patches, tokens = int(inputs.patch_mask[0].sum()), int(inputs.token_mask[0].sum())
    flops, streamed = update_flops(config, patches, tokens), decode_bytes(state.model, prefix)
    report(median, flops, streamed, chosen.side)


def report(median: dict, flops: dict, streamed: dict, side: int) -> None:
    """The figures as a table."""
    step = median["decode"] / TOKENS
    memory = max(median["read"], median["rewrite"])
    work = {
        "update": (sum(flops.values()), median["update"], median["product"], "GFLOP", flops),
        "decoding step": (sum(streamed.values()), step, memory, "GB", streamed),
    }
    table = Table(title=f"{side} px, float32, {jax.devices()[0].device_kind}, medians")
    for title in ("", "work", "seconds", "a second", "machine's best", "share"):
        table.add_column(title, justify="right" if title else "left")
    for name, (amount, seconds, best, unit, _) in work.items():
        table.add_row(
            name,
            f"{amount / 1e9:,.3f} {unit}",
            f"{seconds:.4f}",
            f"{amount / seconds / 1e9:,.1f} {unit}",
            f"{best / 1e9:,.1f} {unit}",
            f"{amount / seconds / best:.0%}",
        )
    console = Console()
    console.print(table)
    for name, (amount, _, _, unit, parts) in work.items():
        shares = ", ".join(f"{part} {value / amount:.0%}" for part, value in parts.items())
        console.print(f"{name}: {amount / 1e9:,.3f} {unit}, of which {shares}")
    console.print(
        f"machine: product {median['product'] / 1e9:,.0f} GFLOP/s; read "
        f"{median['read'] / 1e9:.1f} GB/s, read and write {median['rewrite'] / 1e9:.1f} GB/s"
    )


if __name__ == "__main__":
    main()
