"""lib/signals.sh: what a shell between a scheduler and Python does with signals."""

import subprocess

import pytest
from stand_ins import LAUNCH

# Waits until it has been asked, and says by what.
CHILD = """trap 'echo asked by TERM; exit 3' TERM
trap 'echo asked by INT; exit 4' INT
trap 'echo asked by HUP; exit 5' HUP
trap 'echo asked by QUIT; exit 6' QUIT
touch ready; for i in {1..400}; do sleep 0.05; done"""


def bash(tmp_path, words, *arguments):
    text = f'set -euo pipefail; . "{LAUNCH}/lib/signals.sh"; {words}'
    command = ["bash", "-c", text, "test", *arguments]
    return subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=60)


@pytest.mark.parametrize(("name", "code"), [("TERM", 3), ("INT", 4), ("HUP", 5), ("QUIT", 6)])
def test_a_signal_is_handed_on_once_and_the_childs_code_returned(tmp_path, name, code):
    words = f"""(until [ -e ready ]; do sleep 0.05; done; kill -{name} $$) &
code=0; pass_signals bash -c "$1" || code=$?; echo "$code $signalled" """
    done = bash(tmp_path, words, CHILD)
    assert done.stdout == f"asked by {name}\n{code} yes\n", done.stderr


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT"])
def test_a_signal_between_two_commands_stops_the_next(tmp_path, name):
    words = f"""pass_signals true; kill -{name} $$
code=0; pass_signals touch started || code=$?; echo "$code $signalled" """
    assert bash(tmp_path, words).stdout == "42 yes\n"
    assert not (tmp_path / "started").exists()


def test_a_hangup_is_ignored_under_nohup(tmp_path):
    text = (
        f'. "{LAUNCH}/lib/signals.sh"; kill -HUP $$; pass_signals bash -c "$1"; echo "$signalled"'
    )
    command = ["nohup", "bash", "-c", text, "test", "kill -HUP $PPID $$; echo done"]
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=60)
    assert done.stdout == "done\nno\n"


def test_a_signal_that_a_command_answers_by_ending_well_stops_the_next(tmp_path):
    words = """pass_signals bash -c 'trap "exit 0" TERM; kill -TERM $PPID
while :; do sleep 0.05; done'
code=0; pass_signals touch started || code=$?; echo "$code $signalled" """
    assert bash(tmp_path, words).stdout == "42 yes\n"
    assert not (tmp_path / "started").exists()


def test_without_a_signal_commands_follow_one_another(tmp_path):
    words = 'pass_signals true; code=0; pass_signals bash -c "exit 7" || code=$?; echo "$code"'
    assert bash(tmp_path, f'{words} "$signalled"').stdout == "7 no\n"
