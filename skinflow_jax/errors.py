"""The two errors a user can cause; the command line prints their line and picks the exit code."""


class InputError(ValueError):
    """Bad input: the message is one line that names the file, row, key or tensor and the remedy."""


class ConfigError(InputError):
    """A wrong command line or configuration; the command line exits with 2 instead of 1."""


def one_line(error: BaseException) -> str:
    """Kind and message of someone else's exception, for use in a line of ours."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {shortened(message)}" if message else type(error).__name__


def shortened(text: str, most: int = 200) -> str:
    """`text` cut to `most` characters, marked where it was cut."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
