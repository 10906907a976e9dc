"""The README.md of an exported model: what it is, what it is not, what it went through."""

from collections.abc import Mapping

from skinflow_jax.models.layers import parameter_count
from skinflow_jax.models.vlm import Vlm

_CARD = """---
library_name: transformers
pipeline_tag: image-text-to-text
tags:
- dermatology
- research
---

# {name}

A vision-language model of the Qwen2.5-VL architecture with {millions:,.1f} million parameters
({layers} decoder layers, {blocks} vision blocks), trained with skinflow-jax. Shown a clinical
photograph of skin it writes a structured description of what is visible, or a ranked list of six
diagnoses.

## Not a medical device

This is research software. It is **not a medical device**, has not been validated for clinical use
and must not be used to diagnose, treat or triage anybody. Its answers can be wrong in ways that
look convincing, and differently wrong on different skin types.

{facts}
## Use

```python
from transformers import AutoModelForImageTextToText, AutoTokenizer

model = AutoModelForImageTextToText.from_pretrained("path/to/this/folder")
tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
```
"""

_UNSTATED = {
    "Training": "The exporter was given no facts about training: check before any comparison."
}


def model_card(model: Vlm, facts: Mapping[str, str]) -> str:
    """Markdown with one section for each of `facts`, heading to paragraph."""
    sections = "".join(f"## {title}\n\n{text}\n\n" for title, text in (facts or _UNSTATED).items())
    return _CARD.format(
        name=model.config.name,
        millions=parameter_count(model) / 1e6,
        layers=model.config.text.num_layers,
        blocks=model.config.vision.depth,
        facts=sections,
    )
