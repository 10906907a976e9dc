"""What fails in one of two processes ends both, within seconds, with one code and one message.

It would fail again: a loop that starts each process anew while its code is 42 ends too.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from pods import STAGE, WARM_UP, Pod, compiled_once, environment

from skinflow_jax.data.record_set import RecordSet

pytestmark = pytest.mark.slow

WHOLE = bool(os.environ.get("SKINFLOW_PODS"))
whole_only = pytest.mark.skipif(not WHOLE, reason="make pods")

# Starts a command while it asks for it, and writes the number of its process, code and seconds.
LOOP = """
for last; do :; done
for start in 1 2 3 4; do
  code=0; "$@" || code=$?
  echo "${last#*=} $code $(date +%s)" >> "$ENDS"
  [ "$code" = 42 ] || exit "$code"
done
"""

REWARD = """
import jax

def breaks(completions, examples):
    if jax.process_index() == 1:
        raise RuntimeError("no such lesion")
    return [0.5] * len(completions)
"""

PREEMPTED = """
import os, signal, time
import jax

def sleeps(completions, examples):
    if jax.process_index() == 1:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    return [0.5] * len(completions)
"""


PREEMPTED_ONCE = """
import os, signal
import jax

def once(completions, examples):
    if jax.process_index() == 1 and not os.path.exists(os.environ["ONCE"]):
        open(os.environ["ONCE"], "w").close()
        os.kill(os.getpid(), signal.SIGTERM)
    return [0.5] * len(completions)
"""


@pytest.fixture
def pod(tmp_path):
    return Pod(2, 1, tmp_path)


def train_in_loops(pod, config, *arguments, **environ):
    """(what the pod said, each process's (code, second) of all starts)"""
    (pod.folder / "loop.sh").write_text(LOOP)
    path, ends = pod.folder / "run.json", pod.folder / "ends"
    path.write_text(json.dumps(config))
    train = ["train", f"--config={path}", f"--workdir={pod.folder / 'run'}", "--resume"]
    command = pod.command(*train, *arguments)
    at = command.index("--") + 1
    done = subprocess.run(
        [*command[:at], "bash", str(pod.folder / "loop.sh"), *command[at:]],
        env=environment(ENDS=str(ends), **compiled_once(pod.folder), **environ),
        capture_output=True,
        text=True,
    )
    print(done.stderr, ends.read_text())
    of = [[], []]
    for line in ends.read_text().splitlines():
        process, ended_with, when = map(int, line.split())
        of[process].append((ended_with, when))
    return done, of


def train_in_a_loop(pod, config, *arguments, code, words, **environ):
    """Both processes end alike, each after one restart at most, and say why in one line a start."""
    done, of = train_in_loops(pod, config, *arguments, **environ)
    assert done.returncode == code, done.stderr
    assert len(of[0]) == len(of[1]) <= 2
    assert [found[-1][0] for found in of] == [code, code]
    assert all(abs(mine[1] - other[1]) <= 20 for mine, other in zip(*of, strict=True))
    lines = [line for line in done.stderr.splitlines() if "] skinflow: " in line]
    starts = range(len(of[0]))
    assert sorted(line[:3] for line in lines) == sorted(
        ["[0]" for _ in starts] + ["[1]" for _ in starts]
    )
    assert all(words in line for line in lines[-2:]), done.stderr


@pytest.fixture
def records(tmp_path):
    """A folder of records that a run takes, training and held-out."""
    folder = tmp_path / "records"
    Pod(1, 1, tmp_path).train(
        "once", WARM_UP | {"loop": {"steps": 1, "evaluate_every": 1}}, f"--records={folder}"
    )
    return folder


def damage(folder: Path, row: int) -> None:
    """Damage the image of one record, whose batch one of the processes makes."""
    pixels = RecordSet(folder)[row].images[0].tobytes()[64:192]
    (shard,) = folder.glob("*.array_record")
    data = shard.read_bytes()
    shard.write_bytes(data.replace(pixels, bytes(len(pixels))))


@whole_only
def test_one_that_is_started_again_while_the_other_still_ends_joins_the_next_run(pod, tmp_path):
    """As systemd does it. JAX aborts a run that a process joins a second time."""
    path = tmp_path / "once.py"
    path.write_text(PREEMPTED_ONCE)
    rl = STAGE["rl"] | {"rewards": [f"{path}:once"], "max_refills": 0}
    config = STAGE | {"rl": rl, "model": {"size": "tiny"}}
    done, of = train_in_loops(pod, config, ONCE=str(tmp_path / "preempted"))
    assert [[code for code, _ in starts] for starts in of] == [[42, 0], [42, 0]], done.stderr
    assert done.returncode == 0 and "Check failure" not in done.stderr


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
    told = "process 1 has another command than process 0: config.seed 1, not 0"
    for process in (0, 1):
        lines = [line for line in done.stderr.splitlines() if line.startswith(f"[{process}] skin")]
        assert len(lines) == 1 and told in lines[0], done.stderr
    assert not workdir.exists()


def test_a_workdir_that_is_not_shared_is_told_before_anything_is_written(pod, tmp_path):
    """Each process has a folder of that name, as on machines with disks of their own."""
    script = tmp_path / "each.sh"
    script.write_text('for last; do :; done\ncd "$FOLDER/${last#*=}" && exec "$@"\n')
    for process in (0, 1):
        (tmp_path / f"{process}" / "run").mkdir(parents=True)
    command = pod.command("train", "--config=debug_sft", "--workdir=run", "--resume")
    at = command.index("--") + 1
    done = subprocess.run(
        [*command[:at], "bash", str(script), *command[at:]],
        env=environment(FOLDER=str(tmp_path)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if "] skinflow: " in line]
    assert len(lines) == 2 and all("workdir run on " in line for line in lines), done.stderr
    assert "is not the folder that process 0 writes" in lines[0] and "(process 1)" in "".join(lines)
    assert [path.name for path in (tmp_path / "0" / "run").iterdir()] == [".lock"]
    assert not list((tmp_path / "1" / "run").iterdir())


def test_a_reward_that_raises_in_one_ends_both_with_its_message(pod, tmp_path):
    path = tmp_path / "breaks.py"
    path.write_text(REWARD)
    rl = STAGE["rl"] | {"rewards": [f"{path}:breaks"], "max_refills": 0}
    train_in_a_loop(pod, STAGE | {"rl": rl}, code=1, words="no such lesion")


@whole_only
def test_a_damaged_record_that_one_of_them_reads_ends_both(pod, records):
    (folder,) = records.glob("*-48")
    damage(folder, row=7)
    config = WARM_UP | {"loop": {"steps": 24}}
    train_in_a_loop(pod, config, f"--records={records}", code=2, words="damaged")


@whole_only
def test_a_bad_image_in_the_evaluation_of_one_ends_both(pod, records):
    (heldout,) = records.glob("*-12")
    damage(heldout, row=4)
    config = WARM_UP | {"loop": {"steps": 2, "evaluate_every": 1}}
    train_in_a_loop(pod, config, f"--records={records}", code=2, words="damaged")


@whole_only
def test_a_target_that_is_too_long_in_one_ends_both(pod):
    config = WARM_UP | {"loop": {"steps": 24}}
    environ = {"SKINFLOW_TEST_LONG_TARGET": "20"}
    words = "tokens but completion_length is 64; raise data.completion_length"
    train_in_a_loop(pod, config, code=2, words=words, **environ)


@whole_only
def test_a_process_whose_grace_is_over_tells_the_other_why_it_leaves(pod, tmp_path):
    path = tmp_path / "sleeps.py"
    path.write_text(PREEMPTED)
    rl = STAGE["rl"] | {"rewards": [f"{path}:sleeps"], "max_refills": 0}
    done = pod.train("run", STAGE | {"rl": rl}, "--grace=2", code=42)
    lines = sorted(line for line in done.stderr.splitlines() if "] skinflow: " in line)
    assert [line[:41] for line in lines] == [
        "[0] skinflow: the grace of 2 s is over; n",
        "[1] skinflow: the grace of 2 s is over; n",
    ]
    assert lines[0].endswith("(process 1)"), done.stderr
