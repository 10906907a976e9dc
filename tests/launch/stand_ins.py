"""Recording stand-ins for the commands that launch scripts call, first on the PATH."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ROOT / "launch"

_STAND_IN = """#!{python}
import json, os, sys
folder = os.path.dirname(os.path.abspath(__file__))
name = os.path.basename(__file__)
stdin = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
with open(os.path.join(folder, "calls.jsonl"), "a") as calls:
    calls.write(json.dumps([name, *sys.argv[1:]]) + "\\n")
with open(os.path.join(folder, "stdin.jsonl"), "a") as inputs:
    inputs.write(json.dumps(stdin) + "\\n")
line = " ".join([name, *sys.argv[1:]])
answers = json.load(open(os.path.join(folder, "answers.json")))
said = os.path.join(folder, "said.json")
counts = json.load(open(said)) if os.path.exists(said) else {{}}
for part, replies in answers:
    if part in line:
        number = counts.get(part, 0)
        counts[part] = number + 1
        json.dump(counts, open(said, "w"))
        reply = replies[min(number, len(replies) - 1)]
        sys.stdout.write(reply.get("out", ""))
        sys.stderr.write(reply.get("err", ""))
        sys.exit(reply.get("code", 0))
"""


class StandIns:
    """Commands in `folder` that note what they are called with and answer from a table.

    `answers`: pairs of a part of the command line and its replies, one a call, the last of which
    stays; a reply has `out`, `err` and `code`. What fits no pair succeeds and says nothing.
    """

    def __init__(self, folder: Path, *names: str, answers=()):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        for name in names:
            command = folder / name
            command.write_text(_STAND_IN.format(python=sys.executable))
            command.chmod(0o755)
        (folder / "answers.json").write_text(json.dumps(list(answers)))

    def environment(self, **more: str) -> dict[str, str]:
        path = f"{self.folder}:{os.environ['PATH']}"
        return os.environ | {"PATH": path, "PYTHON": sys.executable} | more

    def calls(self) -> list[list[str]]:
        return _lines(self.folder / "calls.jsonl")

    def inputs(self) -> list[str]:
        return _lines(self.folder / "stdin.jsonl")

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["bash", LAUNCH / script, *arguments],
            env=self.environment(**environment),
            cwd=ROOT,
            text=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )


def _lines(path: Path) -> list:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
