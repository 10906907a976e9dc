"""A command that is killed while its calls to the endpoint are on their way."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from scripted_server import Reply


def started(arguments, **options) -> subprocess.Popen:
    """`skinflow` with `arguments` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "skinflow_jax", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.DEVNULL,
        **options,
    )


def hangs() -> tuple[threading.Event, Reply]:
    """An endpoint's reply that never comes, and the event of its being asked for."""
    return threading.Event(), Reply(body="{}", before=threading.Event())


def killed_after(calls: int, server, script, arguments, journal: Path) -> Counter[str]:
    """How often each body was answered when the command had `calls` answers, and was killed."""
    (asked, reply), answered = hangs(), Counter()

    def hang_late(body):
        if len(server.bodies) > calls:
            asked.set()
            return reply
        answered[json.dumps(body)] += 1
        return script(body)

    server.script = hang_late
    process = started(arguments)
    assert asked.wait(180), f"the command did not come as far as call {calls + 1}"
    until = time.monotonic() + 60
    while journal.read_text().count('"text"') < calls and time.monotonic() < until:
        time.sleep(0.05)  # the last answer may still be on its way
    process.kill()
    process.wait()
    server.bodies.clear()
    server.script = script
    return answered
