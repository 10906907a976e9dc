"""What a name is looked up by: two names that have a key in common are read as one."""

from collections.abc import Sequence
from typing import NamedTuple

from skinflow_jax.clinical.qualifiers import qualifiers


class Keys(NamedTuple):
    """`unordered` is None where the order counts: "naevus on naevus" is more than a naevus."""

    in_order: str
    joined: str
    unordered: frozenset[str] | None


def keys_of(words: Sequence[str]) -> Keys:
    """The keys of a name's words, as `name_text.words_of` gives them; without "of", "the", "in"."""
    known = qualifiers()
    bag = None if known.repeats(words) else frozenset(words) - known.glue
    return Keys(" ".join(words), "".join(words), bag or None)
