"""Ranked diagnoses as other systems write them: a JSON list of names, or a name a line.

As strict as `parsing`, and linear in the text: what is not the whole list is refused by its code.
"""

import json
import re
from collections.abc import Callable

from skinflow_jax.clinical.limits import MOST_CHARACTERS, Refusal, bad_character
from skinflow_jax.clinical.parsing import (
    MOST_DIAGNOSES,
    ParsedDiagnoses,
    parse_diagnoses,
    unfenced,
)

_NUMBERED = re.compile(r"([0-9]{1,2})[.):][ \t]+(?=\S)")
_BULLETS = ("- ", "* ", "• ")


def parse_json(text: str) -> ParsedDiagnoses:
    """Our object `{"diagnoses": ["first", …]}`, or the list of names alone."""
    if len(text) > MOST_CHARACTERS or not unfenced(text.strip()).lstrip().startswith("["):
        return parse_diagnoses(text)
    if bad := bad_character(text):
        said = f"the text holds {bad}, which no answer may"
        return ParsedDiagnoses(None, said, Refusal.BAD_CHARACTER)
    try:
        names = json.loads(unfenced(text.strip()))
        return _of_names(names)
    except (ValueError, RecursionError) as error:
        said = f"not one JSON list: {type(error).__name__}"
        return ParsedDiagnoses(None, said, Refusal.NOT_JSON)


def parse_lines(text: str) -> ParsedDiagnoses:
    """One to six lines, a name each, best first, and nothing else; empty lines are passed over.

    All may be numbered from 1 ("1.", "1)" or "1:"), or all bear one bullet ("-", "*" or "•").
    """
    if len(text) > MOST_CHARACTERS:
        said = f"longer than {MOST_CHARACTERS:,} characters"
        return ParsedDiagnoses(None, said, Refusal.TOO_LONG)
    if bad := bad_character(text):
        said = f"the text holds {bad}, which no answer may"
        return ParsedDiagnoses(None, said, Refusal.BAD_CHARACTER)
    lines = [line for each in text.splitlines() if (line := each.strip())]
    if not 1 <= len(lines) <= MOST_DIAGNOSES:
        code = Refusal.TOO_MANY if lines else Refusal.EMPTY
        return ParsedDiagnoses(None, f"need 1 to {MOST_DIAGNOSES} lines, a name each", code)
    numbers = [_NUMBERED.match(line) for line in lines]
    if any(numbers):
        if [found and int(found[1]) for found in numbers] != list(range(1, len(lines) + 1)):
            said = "some lines are numbered, and not from 1 on without a gap"
            return ParsedDiagnoses(None, said, Refusal.NOT_LIST)
        lines = [line[found.end() :] for line, found in zip(lines, numbers, strict=True) if found]
    bullet = next((b for b in _BULLETS if lines[0].startswith(b)), "")
    if any(line.startswith(_BULLETS) and not line.startswith(bullet or "\n") for line in lines):
        return ParsedDiagnoses(None, "some lines have another bullet", Refusal.NOT_LIST)
    if bullet and not all(line.startswith(bullet) for line in lines):
        return ParsedDiagnoses(None, "some lines have a bullet", Refusal.NOT_LIST)
    return _of_names([line[len(bullet) :] for line in lines])


def _of_names(names) -> ParsedDiagnoses:
    """The rest of the rules is that of our own form."""
    return parse_diagnoses(json.dumps({"diagnoses": names}))


FORMS: dict[str, Callable[[str], ParsedDiagnoses]] = {"json": parse_json, "lines": parse_lines}
"""By what `--answers` calls them."""
