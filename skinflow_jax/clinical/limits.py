"""What text of a model may be before any work is done on it, and the codes of why it is refused."""

import re
from enum import StrEnum

MOST_CHARACTERS = 20_000
"""Of an answer: longer ones are none, and scoring them would take seconds."""

MOST_CHARACTERS_OF_VALUE = 500
"""Of one value or name."""


class Refusal(StrEnum):
    """Why an answer is not read, as metrics and files have it.

    `names_disease` is of captions, `missing_key`, `not_list` and `too_many` of diagnoses.
    """

    TOO_LONG = "too_long"
    BAD_CHARACTER = "bad_character"
    EMPTY = "empty"
    NOT_JSON = "not_json"
    NOT_OBJECT = "not_object"
    REPEATED_KEY = "repeated_key"
    UNKNOWN_KEY = "unknown_key"
    MISSING_KEY = "missing_key"
    NOT_LIST = "not_list"
    TOO_MANY = "too_many"
    NOT_TEXT = "not_text"
    LONG_VALUE = "long_value"
    NAMES_DISEASE = "names_disease"


# Written out, so that every version of Python refuses the same: control characters but tab and ends
# of lines, halves of surrogate pairs, separators of lines, what is not seen or turns the direction
# of reading, and marks that strike a letter through or forbid it, which a comparison without
# accents would take off.
_BAD = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff\u0334-\u0338\u20d0-\u20f0]"
)


def bad_character(text: str) -> str | None:
    """The first character that no answer may have, as "U+202E"; None where all may be there."""
    found = _BAD.search(text)
    return f"U+{ord(found[0]):04X}" if found else None
