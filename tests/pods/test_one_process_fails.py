"""What fails in one of two processes ends both, within seconds, with one code and one message."""

import subprocess

import pytest
from pods import STAGE, WARM_UP, Pod, environment

pytestmark = pytest.mark.slow

REWARD = """
import jax

def breaks(completions, examples):
    if jax.process_index() == 1:
        raise RuntimeError("no such lesion")
    return [0.5] * len(completions)
"""


@pytest.fixture
def pod(tmp_path):
    return Pod(2, 1, tmp_path)


def check_both_say(words, done):
    lines = [line for line in done.stderr.splitlines() if "] skinflow: " in line]
    assert sorted(line[:3] for line in lines) == ["[0]", "[1]"], done.stderr
    assert all(words in line for line in lines), done.stderr


def test_different_configs_are_told_by_field_before_anything_is_written(pod, tmp_path):
    """By a script between the pod and the command: the pod itself starts all with the same."""
    script = tmp_path / "each.sh"
    script.write_text('for last; do :; done\nexec "$@" --config.seed=${last#*=}\n')
    workdir = tmp_path / "run"
    command = pod.command("train", "--config=debug_sft", f"--workdir={workdir}")
    at = command.index("--") + 1
    done = subprocess.run(
        [*command[:at], "bash", str(script), *command[at:]],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert "process 1 has another command than process 0: config.seed 1, not 0" in done.stderr
    assert not workdir.exists()


def test_a_reward_that_raises_in_one_ends_both_with_its_message(pod, tmp_path):
    path = tmp_path / "breaks.py"
    path.write_text(REWARD)
    rl = STAGE["rl"] | {"rewards": [f"{path}:breaks"], "max_refills": 0}
    config = STAGE | {"rl": rl, "model": {"size": "tiny"}}
    done = pod.train("run", config, code=1)
    check_both_say("no such lesion", done)


def test_a_damaged_record_of_one_ends_both(pod, tmp_path):
    pod.train("run", WARM_UP | {"loop": {"steps": 2}})
    workdir = tmp_path / "run"
    for shard in (workdir / "records").rglob("*.array_record"):
        data = bytearray(shard.read_bytes())
        data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
        shard.write_bytes(data)
    config = WARM_UP | {"loop": {"steps": 24}}
    done = pod.train("run", config, "--resume", "--allow-changed=loop.steps", code=2)
    check_both_say("is damaged", done)
