"""How many completions of a step no reward could read, by the code of why."""

from collections import Counter
from collections.abc import Sequence

from skinflow_jax.clinical import Refusal, parse_caption, parse_diagnoses
from skinflow_jax.data.pipeline import Example


def refusals(completions: Sequence[Sequence[str]], examples: Sequence[Example]) -> Counter[Refusal]:
    """Refused completions, `[P][G]`, of caption and diagnosis prompts; questions take any text."""
    found: Counter[Refusal] = Counter()
    for group, example in zip(completions, examples, strict=True):
        for text in group:
            if example.task == "caption":
                found[parse_caption(text, example.schema).code] += 1
            elif example.task == "diagnosis":
                found[parse_diagnoses(text).code] += 1
    del found[None]
    return found


def as_metrics(counts: Sequence[Counter[Refusal]]) -> dict[str, int]:
    """`refused/<code>` of what several processes found, and `refused/all`; every code, always."""
    total = sum(counts, Counter())
    metrics = {f"refused/{code}": total[code] for code in Refusal}
    return metrics | {"refused/all": sum(total.values())}
