"""TRL's worker of `vs_trl.py`: one step of its GRPOTrainer for each line on standard input.

python benchmarks/vs_trl_theirs.py WORKDIR SIDE STEPS OPTIONS   (in TRL's environment)

OPTIONS is a JSON object that overrides arguments of GRPOConfig.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from PIL import Image
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer
from vs_trl_shared import (
    CLIP_NORM,
    GROUP,
    IMAGES,
    LEARNING_RATE,
    LOSS,
    MODEL,
    PROMPT,
    PROMPTS,
    TEMPERATURE,
    TOKENS,
    WEIGHT_DECAY,
    Driver,
    length_digit,
    product_rate,
)

# The fastest found. Seconds a step on two quiet cores of an EPYC, by rows at a time:
#   224 px: 2 x 8 rows 6.24, 4 x 4 rows 6.28; 448 px: 16 rows 15.5, 2 x 8 14.6, 4 x 4 14.8;
#   896 px: 2 x 8 rows 61.6, 4 x 4 rows 60.9; differences under a tenth are noise.
# On one thread at 224 px, 16 rows took 14.0 s, with cache_implementation="static" 13.4 to 14.2.
# Checkpointing, on by default, would recompute the forward pass. TRL itself switches compilation
# of generation off; torch_compile of the training step and eager attention are not tried.
TUNED = {
    "gradient_checkpointing": False,
    "per_device_train_batch_size": PROMPTS * GROUP // 2,
    "gradient_accumulation_steps": 2,
    "model_init_kwargs": {"dtype": "float32", "attn_implementation": "sdpa"},
    "dataloader_pin_memory": False,
}


def reward(completions, **_) -> list[float]:
    """The shared reward of the assistant's texts."""
    return length_digit([messages[0]["content"] for messages in completions], None)


class TimedTrainer(GRPOTrainer):
    """GRPOTrainer that notes how long its parts take; it computes nothing differently."""

    def start_step(self) -> None:
        """Forget the last step."""
        self.seconds, self.completions, self.prepared = {}, 0, None

    def _prepare_inputs(self, generation_batch):
        batch = super()._prepare_inputs(generation_batch)
        # Later micro-batches are handed out of what the first call of a step has generated.
        if self.prepared is None:
            self.prepared = time.perf_counter()
        return batch

    def _generate_single_turn(self, *args, **kwargs):
        calls = []
        model = self.model
        before = model.register_forward_pre_hook(lambda *_: calls.append(time.perf_counter()))
        began = time.perf_counter()
        completions, log_probs = super()._generate_single_turn(*args, **kwargs)
        ended = time.perf_counter()
        before.remove()
        self.completions += len(completions)
        # The second call is the first that reads a sampled token.
        self.seconds["vision_prefill"] = calls[1] - began
        self.seconds["decode"] = ended - calls[1]
        return completions, log_probs

    def _calculate_rewards(self, *args, **kwargs):
        began = time.perf_counter()
        rewards = super()._calculate_rewards(*args, **kwargs)
        self.seconds["reward"] = time.perf_counter() - began
        return rewards


class Conversation(TrainerCallback):
    """Holds the trainer between steps until the driver asks for the next one."""

    def __init__(self, driver: Driver):
        self.driver, self.trainer, self.began = driver, None, 0.0

    def _next(self):
        self.driver.wait()
        self.trainer.start_step()
        self.began = time.perf_counter()

    def on_train_begin(self, args, state, control, **kwargs):
        """Wait for the first step."""
        names = ("trl", "transformers", "torch", "torchvision")
        square = torch.ones((2048, 2048))
        self.driver.answer(
            versions={name: version(name) for name in names},
            product=product_rate(lambda: square @ square),
        )
        self._next()

    def on_log(self, args, state, control, logs=None, **kwargs):
        """The last thing that happens in a step."""
        if "reward" not in logs:
            return
        now = time.perf_counter()
        seconds = self.trainer.seconds
        seconds |= {"update": now - self.trainer.prepared, "whole": now - self.began}
        self.driver.answer(
            seconds=seconds,
            lengths=[logs["completions/min_length"], logs["completions/max_length"]],
            completions=self.trainer.completions,
            # TRL counts on from step to step, prompts included.
            prompt_tokens=logs["num_tokens"] / state.global_step / (PROMPTS * GROUP) - TOKENS,
            reward_std=logs["reward_std"],
        )
        # After the last step too: the end of training would disturb the other worker's last one.
        self._next()


def main() -> None:
    """Answer each line with the seconds of a step."""
    driver = Driver()
    workdir, side, steps = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    text = json.loads((workdir / PROMPT).read_text())
    images = np.load(workdir / IMAGES.format(side=side))

    def rows(batch):
        return {
            "prompt": [[{"role": "user", "content": text}] for _ in batch["number"]],
            "images": [[Image.fromarray(images[i])] for i in batch["number"]],
        }

    numbers = [i % len(images) for i in range(PROMPTS * steps)]
    options = TUNED | json.loads(sys.argv[4])
    conversation = Conversation(driver)
    trainer = TimedTrainer(
        model=str(workdir / MODEL),
        reward_funcs=reward,
        train_dataset=Dataset.from_dict({"number": numbers}).with_transform(rows),
        callbacks=[conversation],
        args=GRPOConfig(
            output_dir=str(workdir / "trl"),
            use_cpu=True,
            bf16=False,
            max_steps=steps,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant",
            max_grad_norm=CLIP_NORM,
            weight_decay=WEIGHT_DECAY,
            temperature=TEMPERATURE,
            num_generations=GROUP,
            max_completion_length=TOKENS,
            generation_kwargs={"min_new_tokens": TOKENS},
            num_iterations=1,
            beta=0.0,
            loss_type=LOSS,
            shuffle_dataset=False,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            **options,
        ),
    )
    trainer.remove_callback(PrinterCallback)
    conversation.trainer = trainer
    trainer.train()


if __name__ == "__main__":
    main()
