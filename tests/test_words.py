"""Code and documents use the field's words, so that a reader of JAX and RL need not translate."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A home-made word, and the field's word for it.
BANNED = {
    r"turned( over)?": "transposed",
    r"judg(e[sd]?|ing|e?ments?)": "evaluate, score",
    r"few_?rows\w*": "small batch",
    r"rows in work": "active rows",
    r"(logarithm of (its|the)|softmax's) denominator|log-sums": "logsumexp",
    r"way of the data": "data flow",
    r"(makes?|made) ((the )?\w+ )?(again|anew)|remakes?|remade": "recompute",
    r"attention in pieces": "attention in chunks",
    r"largest at once": "peak",
    r"teach(es)? nothing": "uninformative, masked out",
    r"whole on (each|every) device": "replicated",
    r"spread over (the )?(devices|`\w+`)": "sharded over",
}
# Where a language model judges, that is the field's word.
ALLOWED = re.compile(r"(LLM|language.model)[-_ ]judge", re.IGNORECASE)


def files():
    yield ROOT / "README.md"
    for folder in ("skinflow_jax", "configs", "docs", "benchmarks"):
        yield from (path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".md"))


def home_made(text):
    """(line, what stands there, the field's word) of each banned word, in names and prose."""
    text = ALLOWED.sub("", text)
    for pattern, word in BANNED.items():
        # Words may stand on two lines of a comment; an underscore ends a word as a space does.
        spaced = pattern.replace(" ", r"[\s#]+")
        for match in re.finditer(rf"(?<![^\W_])(?:{spaced})(?![^\W_])", text, re.IGNORECASE):
            yield text.count("\n", 0, match.start()) + 1, match[0], word


def test_no_home_made_word_where_the_field_has_one():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {said!r}: say {word}"
        for path in files()
        for line, said, word in home_made(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


def test_the_scan_sees_names_and_line_breaks_and_spares_a_language_model_that_judges():
    text = "keys, turned\n# the rows in\n# work\ndef judging_mesh():\nNo LLM judge; it returned."
    assert [line for line, *_ in home_made(text)] == [1, 4, 2]
