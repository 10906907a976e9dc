"""tpu_pod.sh between stand-ins: of gcloud on this side, of what a machine has on the other."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SCRIPT = ROOT / "launch/tpu_pod.sh"

LOGGED_IN = {"auth list": [{"out": "someone@example.org\n"}]}
NOT_FOUND = {"err": "ERROR: (gcloud.compute) NOT_FOUND: Resource 'derm' was not found\n"}
ACTIVE = {"out": "ACTIVE\t\n"}
READY = {"out": "READY\n"}

# A Python for the machine: uv makes folders, and what it installs is this one's environment.
UV = f"""#!/bin/bash
echo "uv $*" >> "$HOME/uv_calls"
case "$1" in
  --version) echo "uv 0.13.9" ;;
  pip) if [ -e "$HOME/full" ]; then echo "no space left on device" >&2; exit 2; fi ;;
  venv) mkdir -p "$HOME/skinflow/venv/bin"
        printf '#!/bin/sh\\nexec {sys.executable} "$@"\\n' > "$HOME/skinflow/venv/bin/python"
        chmod +x "$HOME/skinflow/venv/bin/python" ;;
esac
"""
CURL = """#!/bin/bash
url="${!#}"
echo "$url" >> "$HOME/urls"
cat "$HOME/metadata/${url##*/}" 2> /dev/null || exit 22
"""


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


class Pod:
    """A folder with stand-ins and a slice of machines that are folders too."""

    def __init__(self, place, machines=0):
        self.place = place
        python = f'#!/bin/sh\nexec {sys.executable} -S -E "{HERE}/%s" "$@"\n'
        script(place / "bin/gcloud", python % "gcloud_stand_in.py")
        script(place / "machine_bin/systemctl", python % "systemctl_stand_in.py")
        script(place / "machine_bin/sudo", '#!/bin/sh\n[ "$1" != -E ] || shift\nexec "$@"\n')
        script(place / "machine_bin/curl", CURL)
        for worker in range(machines):
            self.machine(worker).mkdir(parents=True)
            script(self.machine(worker) / "skinflow/bin/uv", UV)
        self.answers({})

    def machine(self, worker):
        return self.place / "machines" / str(worker)

    def answers(self, table):
        (self.place / "answers.json").write_text(json.dumps({**LOGGED_IN, **table}))
        for counter in self.place.glob("asked.*"):
            counter.unlink()

    def there(self, workers):
        """Answers of a queued resource that is active, with so many workers."""
        addresses = ";".join("127.0.0.1" for _ in range(workers))
        return {
            "queued-resources describe": [ACTIVE],
            "format=value(state)": [READY],
            "networkEndpoints": [{"out": addresses + "\n"}],
        }

    def environment(self):
        """Of tpu_pod.sh, with the stand-ins."""
        return os.environ | {
            "PATH": f"{self.place / 'bin'}:{os.environ['PATH']}",
            "STAND_IN": str(self.place),
            "POD_POLL_SECONDS": "0.05",
        }

    def run(self, *words, type="v6e-16", path=None, **variables):
        """What tpu_pod.sh did with the words: code, out and err in one object."""
        environment = self.environment() | variables
        if path:
            environment["PATH"] = path
        where = ["--name=derm", "--zone=us-east5-b", "--project=p", f"--type={type}"]
        command = ["bash", str(SCRIPT), words[0], *where, *words[1:]]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        return done

    def calls(self, *pieces):
        """The commands given to gcloud that have all the pieces, without asking for the login."""
        path = self.place / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        calls = [json.loads(line) for line in lines]
        return [
            call
            for call in calls
            if call[0] != "auth" and all(piece in " ".join(call) for piece in pieces)
        ]

    def fails(self, code, *pieces):
        """That it ended with the code, and one line that has the pieces last."""
        assert self.code == code, (self.code, self.out, self.err)
        line = self.err.strip().splitlines()[-1]
        assert line.startswith("tpu_pod.sh: ")
        for piece in pieces:
            assert piece in line, line

    def succeeds(self):
        assert self.code == 0, (self.code, self.out, self.err)

    def until(self, holds, seconds=60):
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it did not come"
            time.sleep(0.05)

    def group(self, count):
        """Answers of a managed instance group of machines derm-0 ..., in the slice's order."""
        names = [f"derm-{worker}" for worker in range(count)]
        for worker in range(count):
            script(self.machine(worker) / "metadata/worker-id", str(worker))
            script(self.machine(worker) / "metadata/ip", "127.0.0.1")
        rows = "".join(f"{name}\tRUNNING\tNONE\n" for name in names)
        return {
            "managed describe": [{"out": f"{count}\tTrue\n"}],
            "format=value(name) ": [{"out": "\n".join(names) + "\n"}],
            "managed list-instances": [{"out": rows}],
        }

    def systemctl(self, worker, *words):
        """As the machine itself does at a shutdown or a boot."""
        command = [self.place / "machine_bin/systemctl", *words]
        environment = os.environ | {"HOME": str(self.machine(worker))}
        subprocess.run(command, env=environment, check=True, timeout=60)

    def stop(self):
        """End what the machines still run."""
        for main in self.place.glob("machines/*/systemd/main"):
            (main.parent / "stopping").touch()
            with contextlib.suppress(ProcessLookupError, ValueError):
                os.kill(int(main.read_text()), signal.SIGTERM)

    def copy_code(self):
        """What setup leaves on the machines, without packing the project each time."""
        for home in self.place.glob("machines/*"):
            code = home / "skinflow/code/launch"
            script(home / "skinflow/ready", "")
            for name in ("machine", "lib"):
                shutil.copytree(ROOT / "launch" / name, code / name)
            python = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
            script(home / "skinflow/venv/bin/python", python)
