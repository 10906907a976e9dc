"""A systemctl for the one unit `skinflow` of the "machine" HOME, that keeps to the unit's file.

Starting leaves a supervisor behind, as systemd is: it runs ExecStart in the unit's environment,
again while the exit code is one of RestartForceExitStatus, or where a signal killed it and Restart
says so, up to StartLimitBurst times. Only SIGTERM is ever sent, and noted.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(os.environ["HOME"])
PLACE = HOME / "systemd"


def unit():
    """The unit's settings; of one that is given twice, all values in a list."""
    settings = {}
    for line in Path((PLACE / "unit").read_text()).read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            settings.setdefault(name, []).append(value)
    return settings


def say(state):
    (PLACE / "state").write_text(state)


def supervise():
    settings = unit()
    condition = settings["ConditionPathExists"][0]
    if Path(condition.removeprefix("!")).exists():
        return say("inactive")
    environment = dict(pair.split("=", 1) for pair in settings["Environment"])
    # A service has none of the shell's variables.
    environment |= {"HOME": str(HOME), "PATH": f"{environment['PATH']}:{os.environ['PATH']}"}
    again = {int(code) for code in settings["RestartForceExitStatus"][0].split()}
    well = {0, -15, *map(int, settings["SuccessExitStatus"][0].split())}
    starts = 0
    log = Path(settings["StandardOutput"][0].removeprefix("append:"))
    while True:
        with log.open("a") as output:
            process = subprocess.Popen(
                shlex.split(settings["ExecStart"][0]),
                cwd=settings["WorkingDirectory"][0],
                env=environment,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
            )
        (PLACE / "main").write_text(str(process.pid))
        say("active")
        code = process.wait()
        starts += 1
        killed = code < 0 and code not in well and settings["Restart"] == ["on-abnormal"]
        if (PLACE / "stopping").exists() or not (code in again or killed):
            return say("inactive" if code in well else "failed")
        if starts == int(settings["StartLimitBurst"][0]):
            return say("failed")
        say("activating")
        time.sleep(0.2)


def state():
    return (PLACE / "state").read_text() if (PLACE / "state").exists() else "inactive"


def start():
    (PLACE / "stopping").unlink(missing_ok=True)
    say("activating")
    # Nothing of whoever starts it stays open, such as a connection.
    words = [sys.executable, "-S", "-E", __file__, "supervise"]
    nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    subprocess.Popen(words, start_new_session=True, **nowhere)


def stop():
    (PLACE / "stopping").touch()
    with (PLACE / "signals").open("a") as signals:
        signals.write("SIGTERM\n")
    os.kill(int((PLACE / "main").read_text()), signal.SIGTERM)
    while state() in ("active", "activating"):
        time.sleep(0.02)


def main(words):
    PLACE.mkdir(exist_ok=True)
    words = [word for word in words if word != "--quiet"]
    match words:
        case ["is-active", "skinflow"]:
            print(state())
            return 0 if state() == "active" else 3
        case ["enable", path]:
            (PLACE / "unit").write_text(path)
        case ["start", "skinflow"]:
            start()
        case ["stop", "skinflow"]:
            stop()
        case ["supervise"]:
            supervise()
        case ["daemon-reload"] | ["reset-failed", "skinflow"]:
            pass
        case _:
            sys.exit(f"no stand-in for systemctl {words}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
