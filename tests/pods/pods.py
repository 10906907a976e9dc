"""Runs the command line on pods of this machine: so many processes of so many CPU devices."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

SMALL = {
    "batch_size": 8,
    "data": {
        "count": 48,
        "tasks": ["diagnosis"],
        "options": {"image_size": 56},
        "max_pixels": 56 * 56,
        "prompt_lengths": [64],
        "windows": [1],
        "completion_length": 64,
    },
    # In batches of 5 cases, which do not divide over the devices.
    "evaluation": {"count": 12, "batch_size": 5, "tasks": ["diagnosis"]},
}
WARM_UP = SMALL | {
    "algorithm": "sft",
    "micro_batches": 1,
    "optimizer": {"learning_rate": 3e-3, "warmup_steps": 5},
    "loop": {"steps": 12, "checkpoint_every": 4},
}
STAGE = SMALL | {
    "algorithm": "grpo",
    "optimizer": {"learning_rate": 1e-3},
    "loop": {"steps": 2, "evaluate_every": 2, "rollouts_every": 1, "checkpoint_every": 1},
    "rl": {
        "group_size": 4,
        "max_tokens": 8,
        "compactions": 0,
        "rewards": [f"{HERE / 'rare_answers.py'}:one_in_eight"],
        "max_refills": 2,
        "loss": {"kl_coef": 0.01},
    },
}


class Pod:
    """`processes` x `devices`; each of its commands is started in all processes."""

    def __init__(self, processes: int, devices: int, folder: Path):
        self.processes, self.devices, self.folder = processes, devices, folder

    def __call__(self, *arguments, code: int = 0, **environ: str) -> subprocess.CompletedProcess:
        """Run `skinflow` with these arguments; it must end with `code`."""
        done = subprocess.run(
            self.command(*arguments),
            env=environment(**compiled_once(self.folder), **environ),
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done

    def command(self, *arguments) -> list[str]:
        """What starts `skinflow` with these arguments on this pod."""
        script = ROOT / "launch" / "local_pod.sh"
        pod = ["bash", str(script), str(self.processes), f"--devices={self.devices}", "--"]
        return [*pod, sys.executable, str(HERE / "small_skinflow.py"), *map(str, arguments)]

    def train(self, name: str, config: dict, *arguments, **options) -> subprocess.CompletedProcess:
        """Train `config` in the folder's workdir `name`."""
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(config))
        workdir = self.folder / name
        return self("train", f"--config={path}", f"--workdir={workdir}", *arguments, **options)


def compiled_once(folder: Path) -> dict[str, str]:
    """Variables of commands that keep their programs in `folder`, compiled by the first process.

    The others wait for what it compiles. A folder of one's own: they would wait in vain where the
    first finds in it what the processes of another test have just put there.
    """
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "programs"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_SHARE_BINARY_BETWEEN_HOSTS": "1",
    }


def environment(**more: str) -> dict[str, str]:
    """Of a command of the pod."""
    paths = [str(ROOT), str(HERE.parent)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | more


def lines(path: Path) -> list[dict]:
    """Of a JSON lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def predictions(folder: Path) -> list[dict]:
    """Without what round-off reaches: the weights of two runs agree to 1e-5."""
    rows = lines(folder / "predictions.jsonl")
    return [{k: v for k, v in r.items() if k not in ("log_prob", "confidence")} for r in rows]
