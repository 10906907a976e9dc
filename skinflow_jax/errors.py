"""The errors that a run can end with, and the exit code of each: the one place that says so."""

import errno

SUCCESS = 0
FAILED_RUN = 1
BAD_INPUT = 2
START_AGAIN = 42
INTERRUPTED = 130
TERMINATED = 143


class InputError(ValueError):
    """What the person gave is wrong: command, config, data, folder, damaged checkpoint. Exit 2.

    The message is one line that names the file, row, key or tensor and the remedy.
    """


class ConfigError(InputError):
    """A wrong command line or configuration."""


class RunError(RuntimeError):
    """A run that failed though its input was right: not finite, a reward, a full disk. Exit 1.

    The message is one line that names what failed and what to do.
    """


class StartAgain(BaseException):
    """The run was asked to leave, and goes on when it is started again. Exit 42.

    The message is one line that says what is saved. No Exception: a signal's handler raises it
    anywhere, in code that takes every Exception for a failure of its own too.
    """


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after what could be saved has been. Exit 130. The message says what is saved."""


class Terminated(BaseException):
    """SIGTERM or SIGHUP where there is nothing to save. Exit 143, as SIGTERM itself would leave."""


STOPPED = (KeyboardInterrupt, StartAgain, Terminated)
"""What a signal raises: it goes through what else catches every error."""


def exit_code(error: BaseException) -> int | None:
    """The exit code of an error that a person can cause or has to know; None for a defect of ours.

    An OSError is the machine's (exit 1) where its storage failed, the person's (2) where a path
    cannot be used.
    """
    for kind, code in (
        (InputError, BAD_INPUT),
        (RunError, FAILED_RUN),
        (StartAgain, START_AGAIN),
        (KeyboardInterrupt, INTERRUPTED),
        (Terminated, TERMINATED),
        (BrokenPipeError, FAILED_RUN),
    ):
        if isinstance(error, kind):
            return code
    if isinstance(error, OSError):
        return FAILED_RUN if error.errno in _STORAGE_FAILED else BAD_INPUT
    return None


_STORAGE_FAILED = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE),
}


def one_line(error: BaseException) -> str:
    """Kind and message of someone else's exception, for use in a line of ours."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {shortened(message)}" if message else type(error).__name__


def shortened(text: str, most: int = 200) -> str:
    """`text` cut to `most` characters, marked where it was cut."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def printable(text: str) -> str:
    """`text` for a terminal: what is not printable is escaped, such as control sequences.

    File names may hold any byte; Python keeps those that are no UTF-8 as lone surrogates, which
    cannot be written.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )
