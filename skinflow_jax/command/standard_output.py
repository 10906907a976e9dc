"""Standard output that fails: its disk is full, or who read it is gone."""

import os
import sys

from rich import console

from skinflow_jax.errors import RunError


class Console(console.Console):
    """Rich's, which would end the process without a word where standard output is closed."""

    def on_broken_pipe(self) -> None:
        """Called while the error is handled: it goes on."""
        raise


def output_error(error: OSError) -> RunError | None:
    """`error` by its cause where it is standard output that failed, to which no more is written.

    None for an error of something else.
    """
    if error.filename is not None or sys.stdout is None:
        return None
    if not isinstance(error, BrokenPipeError):  # the error of a write does not say of which file
        try:
            print(flush=True)
        except OSError as again:
            error = again
        else:
            return None
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return RunError(f"standard output: {os.strerror(error.errno).lower()}")
