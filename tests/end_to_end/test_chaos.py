"""Runs killed at random moments, by all that a machine sends, end as one that was left alone.

`make chaos` kills 50 times, a GRPO stage that starts from the warm-up too; the result of the long
form is in docs/reliability.md. `make test` kills once, in the warm-up: a stage of a run that ended
with the same bits has nothing to be killed by.
"""

import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import pytest

from skinflow_jax.checkpoints.run_state import load_model

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("SKINFLOW_CHAOS", "1"))
SEED = int(os.environ.get("SKINFLOW_CHAOS_SEED", "0"))
STAGES = ("warmup", "stage") if KILLS > 1 else ("warmup",)
SCRIPT = Path(__file__).with_name("chaos_run.py")
TIMES = re.compile("step_time|time/|tokens_per_second|tflops_per_device|compilations")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# 0: it was done. 42, 130: it saved. The rest: dead before it could catch the signal.
ENDINGS = {
    signal.SIGKILL: {0, -9},
    signal.SIGTERM: {0, 42, 143, -15},
    signal.SIGINT: {0, 130, 1, -2},
}


class Chaos:
    """Two stages in a folder, each started again until it is done."""

    def __init__(self, folder, endings=None):
        self.folder, self.endings = folder, Counter() if endings is None else endings
        folder.mkdir()

    def start(self, stage, log):
        command = [sys.executable, SCRIPT, stage, self.folder]
        if (self.folder / stage / "checkpoints").exists():
            command.append("--resume")
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(
                [str(SCRIPT.parents[1]), os.environ.get("PYTHONPATH", "")]
            ),
            "JAX_COMPILATION_CACHE_DIR": str(self.folder.parent / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)

    def run(self, stage, kill=None):
        """Seconds of one start, None where it is not done; `kill` is (signal, after how long)."""
        began = time.monotonic()
        with (self.folder / "log.txt").open("w") as log:
            process = self.start(stage, log)
            try:
                code = process.wait(300 if kill is None else kill[1])
                endings = {0}
            except subprocess.TimeoutExpired:
                assert kill is not None, (self.folder / "log.txt").read_text()[-2000:]
                process.send_signal(kill[0])
                code = process.wait(120)
                endings = ENDINGS[kill[0]]
                self.endings[f"{kill[0].name} {code}"] += 1
        said = (self.folder / "log.txt").read_text()
        assert code in endings, f"{kill}: {code}: {said[-2000:]}"
        if code in (0, 42, 130):
            assert "Traceback" not in said, said[-2000:]
        return time.monotonic() - began if code == 0 else None

    def parameters(self, stage):
        return [
            np.asarray(x) for x in jax.tree.leaves(load_model(self.folder / stage / "checkpoints"))
        ]

    def lines(self, stage, file):
        text = (self.folder / stage / file).read_text()
        return [
            {k: v for k, v in json.loads(line).items() if not TIMES.match(k)}
            for line in text.splitlines()
        ]


def test_runs_killed_at_random_moments_end_as_one_left_alone(tmp_path):
    rng, whole, endings = random.Random(SEED), Chaos(tmp_path / "whole"), Counter()
    Chaos(tmp_path / "cold").run("warmup")  # compiles
    seconds = {stage: whole.run(stage) for stage in STAGES}
    for run in itertools.count():
        torn = Chaos(tmp_path / f"torn_{run}", endings)
        for stage in seconds:
            done, starts = None, 0
            while done is None:
                # From the start of Python to the end of a whole run.
                kill = (rng.choice(SIGNALS), rng.uniform(0.3, 1) * seconds[stage])
                done = torn.run(stage, kill if endings.total() < KILLS else None)
                starts += 1
            if starts == 1:
                seconds[stage] = done  # a whole run, as fast as the machine is now
            parameters = zip(torn.parameters(stage), whole.parameters(stage), strict=True)
            for found, expected in parameters:
                np.testing.assert_array_equal(found, expected)
            for file in ("metrics.jsonl", "rollouts.jsonl"):
                assert torn.lines(stage, file) == whole.lines(stage, file)
        print(f"run {run}, {endings.total()} kills, seed {SEED}: {dict(endings)}", flush=True)
        if endings.total() >= KILLS:
            return
