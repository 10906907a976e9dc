"""A completion as rewards see it: its text, and the tokens it was sampled as."""

from collections.abc import Sequence


class Completion(str):
    """The text without special tokens, with its token ids, the end token's included.

    Attributes:
      ids: of the tokens that were sampled; None where the text comes from elsewhere.
    """

    ids: list[int] | None

    # A default, for pickle makes the text first and adds the ids then.
    def __new__(cls, text: str, ids: Sequence[int] | None = None):
        """Text and ids of one completion."""
        made = super().__new__(cls, text)
        made.ids = None if ids is None else list(ids)
        return made
