"""Two processes of one JAX program on this machine: started together, and both must succeed."""

import os
import socket
import subprocess
import sys
from pathlib import Path


def both_processes(program: Path, *arguments) -> None:
    """Run `program INDEX PORT ARGUMENTS...` with the indices 0 and 1, and tests/ on its path."""
    tests = Path(__file__).parent
    paths = os.pathsep.join([str(tests.parent), str(tests)])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = [
        subprocess.Popen(
            [sys.executable, program, str(index), port, *map(str, arguments)],
            env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    told = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(told)[-4000:]
