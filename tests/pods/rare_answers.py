"""A reward for tests of whole runs, whatever the model has learned: few groups differ within."""

import zlib


def one_in_eight(completions, examples):
    """Whether a checksum of an answer is a multiple of eight."""
    return [float(zlib.crc32(text.encode()) % 8 == 0) for text in completions]
