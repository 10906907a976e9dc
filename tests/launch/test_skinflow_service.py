"""The systemd unit of a job says what its scripts rely on."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "launch/machine/skinflow.service"


def settings(text):
    lines = [line.partition("=") for line in text.splitlines() if not line.startswith("#")]
    return {name: value for name, equals, value in lines if equals}


def test_it_asks_first_restarts_what_may_pass_and_outlives_a_reboot():
    unit = settings(UNIT.read_text())
    assert unit["KillSignal"] == "SIGTERM"
    # Only the job's shell is asked, and hands it on once; the rest is killed after the time-out.
    assert unit["KillMode"] == "mixed" and unit["TimeoutStopSec"] == "@STOP@"
    # All other codes are told from these by the job's shell, unless it is killed itself.
    assert (unit["Restart"], unit["RestartForceExitStatus"]) == ("on-abnormal", "42")
    # Else the kernel's kill of a process for memory would be a stop, which is final.
    assert unit["OOMPolicy"] == "continue"
    assert unit["SuccessExitStatus"] == "42 130 143"
    # More starts than preemptions make on one machine; a peer that is gone for good ends them.
    assert int(unit["StartLimitBurst"]) == 10 and unit["StartLimitIntervalSec"] == "21600"
    assert unit["WantedBy"] == "multi-user.target"
    assert unit["ConditionPathExists"] == "!@HOME@/ended"
    assert "/sys/kernel/mm/transparent_hugepage/enabled" in unit["ExecStartPre"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_understands_it(tmp_path):
    home = tmp_path / "home"
    (home / "code/launch/machine").mkdir(parents=True)
    text = UNIT.read_text().replace("@HOME@", str(home)).replace("@USER@", "root")
    path = tmp_path / "skinflow.service"
    path.write_text(text.replace("@STOP@", "120"))
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True)
    about = [line for line in (done.stdout + done.stderr).splitlines() if "skinflow" in line]
    assert not about
