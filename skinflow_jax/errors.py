"""The two errors a user can cause; the command line prints their line and picks the exit code."""


class InputError(ValueError):
    """Bad input: the message is one line that names the file, row, key or tensor and the remedy."""


class ConfigError(InputError):
    """A wrong command line or configuration; the command line exits with 2 instead of 1."""
