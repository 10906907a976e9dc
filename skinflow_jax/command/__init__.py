"""The command line: its grammar, the signals that end a command, its standard output."""
