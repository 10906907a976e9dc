"""What the two workers of `vs_trl.py` share: the setting, the reward, the talk with the driver.

Plain Python, because TRL's worker runs where neither JAX nor this package is installed.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence

PROMPTS, GROUP, TOKENS = 2, 8, 128
"""Prompts a step, completions a prompt, tokens a completion (all of them, no more and no fewer)."""

LEARNING_RATE, CLIP_NORM, WEIGHT_DECAY, TEMPERATURE = 1e-6, 1.0, 0.01, 1.0
LOSS = "dapo"

MODEL, PROMPT, IMAGES = "model", "prompt.json", "images-{side}.npy"
"""In the work folder: Hugging Face folder, the user's text, uint8 `[N, side, side, 3]`."""

PHASES = ("vision_prefill", "decode", "reward", "update")


def length_digit(completions: Sequence[str], examples) -> list[float]:
    """A reward that costs nothing and is never the same for all: the length's last digit."""
    return [float(len(text) % 10) for text in completions]


def product_rate(multiply: Callable[[], object], size: int = 2048) -> float:
    """FLOP/s of a product of two square matrices of that size, the best of ten."""
    seconds = []
    for _ in range(10):
        began = time.perf_counter()
        multiply()
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


class Driver:
    """The other end of a worker's standard input and output: one JSON object a line.

    What libraries print goes to standard error instead.
    """

    def __init__(self):
        self._answers = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)

    def answer(self, **fields) -> None:
        """Send `fields` and the peak memory of this process, in bytes."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self._answers.write(json.dumps(fields | {"peak_bytes": peak}) + "\n")

    def wait(self) -> None:
        """Block until the next step is asked for; end the process when none will be."""
        if not sys.stdin.readline():
            raise SystemExit
