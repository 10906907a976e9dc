"""Sizes and counts written as numbers ("1.2 cm", "12 x 8 mm", "3") → the schema's ordinal values.

Our choice: "12 x 8 mm" counts with its greatest diameter, a range with its middle, and the bins are
[0, 5), [5, 10), [10, 20] and beyond, in millimetres.
"""

import re
import unicodedata

_NUMBER = r"([0-9]{1,5}(?:\.[0-9]{1,5})?) ?(mm|cm)?"
_SIZE = re.compile(
    r"(?:(under|below|less than|smaller than|<)|(over|above|more than|larger than|greater than|>)"
    rf"|about|around|approximately|ca\.?|~)? ?{_NUMBER}(?: ?(x|by|-|to) ?{_NUMBER})?"
    rf"(?: ?(?:x|by) ?{_NUMBER})?(?: in diameter| across| wide)?"
)
_NUDGE = 1e-6


def size_value(text: str) -> str | None:
    """The size value of a measurement with a unit (mm or cm), None when `text` is not one."""
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
    return _size_bin(diameter - _NUDGE * bool(under) + _NUDGE * bool(over))


def _size_bin(millimetres: float) -> str:
    if millimetres < 5:
        return "under 5 mm"
    if millimetres < 10:
        return "5-10 mm"
    return "10-20 mm" if millimetres <= 20 else "over 20 mm"


def number_value(text: str) -> str | None:
    """The number value of a positive whole number: 1 single, 2 to 5 few, more many (our choice)."""
    match = re.fullmatch(r"\s*([0-9]{1,6})\s*", text)
    if match is None or int(match[1]) == 0:
        return None
    count = int(match[1])
    if count == 1:
        return "single"
    return "few" if count <= 5 else "many"
