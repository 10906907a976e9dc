"""Sizes and counts written as numbers: "1.2 cm", "12 x 8 mm", "3".

Our choice: "12 x 8 mm" counts with its greatest diameter, a range with its middle.
"""

import re
import unicodedata

from skinflow_jax.clinical.limits import MOST_CHARACTERS_OF_VALUE

_NUMBER = r"([0-9]{1,5}(?:\.[0-9]{1,5})?) ?(mm|cm)?"
_SIZE = re.compile(
    r"(?:(under|below|less than|smaller than|<)|(over|above|more than|larger than|greater than|>)"
    rf"|about|around|approximately|ca\.?|~)? ?{_NUMBER}(?: ?(x|by|-|to) ?{_NUMBER})?"
    rf"(?: ?(?:x|by) ?{_NUMBER})?(?: in diameter| across| wide)?"
)
_NUDGE = 1e-6


def millimetres(text: str) -> float | None:
    """The length that a measurement with a unit (mm or cm) states, None when `text` is not one.

    "under 5 mm" is a millionth below 5, "over 5 mm" a millionth above.
    """
    if len(text) > MOST_CHARACTERS_OF_VALUE:
        return None
    plain = unicodedata.normalize("NFKC", text).casefold().replace("×", "x")
    plain = re.sub(r"[‐-―−]", "-", plain)
    plain = re.sub(r"([0-9]),([0-9])", r"\1.\2", " ".join(plain.rstrip(". \n\t").split()))
    match = _SIZE.fullmatch(plain)
    if match is None:
        return None
    under, over, first, first_unit, joint, second, second_unit, third, third_unit = match.groups()
    unit = third_unit or second_unit or first_unit
    if unit is None:
        return None
    numbers = [(first, first_unit), (second, second_unit), (third, third_unit)]
    sides = [float(n) * (10 if (u or unit) == "cm" else 1) for n, u in numbers if n is not None]
    diameter = sum(sides) / len(sides) if joint in ("-", "to") else max(sides)
    return diameter - _NUDGE * bool(under) + _NUDGE * bool(over)


def count(text: str) -> float | None:
    """The positive whole number that `text` is, None when it is not one."""
    if len(text) > MOST_CHARACTERS_OF_VALUE:
        return None
    digits = text.strip()
    return float(digits) if re.fullmatch("[0-9]{1,6}", digits) and int(digits) else None
