"""What runs on a laptop does so with a Mac's tools, which lack much that GNU's have."""

import re
import subprocess

import pytest
from pod_stand_in import Pod, script
from stand_ins import LAUNCH
from test_tpu_pod_doctor import ALIKE, of, report

# Each as on a Mac, where this is what differs; the rest is done by the command of this machine.
TOOLS = {
    "sed": """
words=()
for word in "$@"; do
  case "$word" in -i | -r | --*) echo "sed: illegal option" >&2; exit 1 ;; esac
  words+=("${word//\\\\t/t}")
done
set -- "${words[@]}"
""",
    "realpath": '[ -e "$1" ] || { echo "realpath: $1: No such file or directory" >&2; exit 1; }',
    "base64": '[ "$#" = 0 ] || [ "$*" = -d ] || { echo "base64: invalid option" >&2; exit 64; }',
    "grep": 'case "$*" in *-P* | -o?*) echo "grep: invalid option -- P" >&2; exit 2 ;; esac',
    "readlink": "exit 1",
    "date": 'case "$*" in *-d* | *--*) echo "date: illegal option" >&2; exit 1 ;; esac',
    "stat": "exit 1",
    "timeout": "exit 127",
    "nproc": "exit 127",
    "sha256sum": "exit 127",
}
GNU_ONLY = re.compile(
    r"\bsed [^|]*\\t|\bsed -[iruz]|(^|[ (;|])(realpath|readlink|tac|nproc|timeout|sha256sum|stat) "
    r"|\bgrep -\w*P|\bdate -d|\bbase64 -w|\bxargs -[rd]|\bhead -n -|-printf\b|\bmktemp --"
)
# These run under Linux: on machines of a cluster, or beside GPUs.
ON_LINUX = ("setup.sh", "start.sh", "state.sh", "job.sh", "gpu_local.sh")
ON_A_LAPTOP = [path for path in sorted(LAUNCH.rglob("*.sh")) if path.name not in ON_LINUX]
BASH_4 = re.compile(
    r"\bmapfile\b|\breadarray\b|\bwait -n\b|\bdeclare -A|\^\^|,,\}|@Q\}|read .*-t 0\."
)


def code(path):
    return [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]


@pytest.fixture
def pod(tmp_path):
    made = Pod(tmp_path, machines=2)
    for name, differs in TOOLS.items():
        real = subprocess.run(["which", name], capture_output=True, text=True).stdout.strip()
        script(tmp_path / "bin" / name, f'#!/bin/bash\n{differs}\nexec {real or "false"} "$@"\n')
    return made


def test_doctor_sees_there_what_it_sees_here(pod):
    of(pod, report(*ALIKE, problems=["the disk is full"]), report(("jax", "0.10.1")))
    pod.run("doctor", type="v5p-16")
    pod.fails(1, "2 problem(s)")
    assert (
        pod.out
        == "jax differs: 0.10.2 on worker 0; 0.10.1 on worker 1\nworker 0: the disk is full\n"
    )
    of(pod, report(*ALIKE), report(*ALIKE))
    pod.run("doctor", type="v5p-16")
    pod.succeeds()
    assert pod.out == "jax: 0.10.2\ncode: abc\n"


def test_setup_packs_the_project(pod):
    pod.answers(pod.there(2))
    pod.run("setup", type="v5p-16")
    pod.succeeds()
    assert (pod.machine(1) / "skinflow/code/skinflow_jax/cli.py").exists()


@pytest.mark.parametrize("path", ON_A_LAPTOP, ids=lambda path: path.name)
def test_no_script_asks_for_what_a_mac_lacks(path):
    assert [line for line in code(path) if GNU_ONLY.search(line)] == []


def test_scripts_of_newer_bash_say_so():
    # Libraries are sourced by tpu_pod.sh, which says it for them.
    scripts = [path for path in ON_A_LAPTOP if path.parent.name != "lib"]
    newer = [path for path in scripts if any(BASH_4.search(line) for line in code(path))]
    assert {path.name for path in newer} >= {"tpu_pod.sh", "local_pod.sh"}
    assert [path for path in newer if "need_bash " not in path.read_text()] == []


def test_an_older_bash_is_refused_in_one_line():
    words = f'. "{LAUNCH}/lib/say.sh"; need_bash 99; echo went on'
    done = subprocess.run(["bash", "-c", words, "x/tpu_pod.sh"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "tpu_pod.sh: bash 99 or newer is needed (on a Mac: brew install bash)\n"
