"""The README.md of an exported model: what it is, what it is not, what it went through."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from skinflow_jax.data.tasks import TASKS
from skinflow_jax.models.config import VlmConfig
from skinflow_jax.models.layers import parameter_count
from skinflow_jax.models.lora import without_adapters
from skinflow_jax.models.vlm import Vlm


@dataclass(frozen=True)
class Card:
    """What is known of a model beyond its weights; nothing is made up for what is not.

    Attributes:
      name: of the model: the run's.
      sections: heading to paragraph, in Markdown.
      base_model: the name on the Hugging Face hub of what it descends from, if that is known.
    """

    name: str = "Skin lesions described and diagnosed"
    sections: Mapping[str, str] = field(default_factory=dict)
    base_model: str | None = None


_UNSTATED = {
    "Training": "The exporter was given no facts about training: check before any comparison."
}

_CARD = """---
{fields}
---

# {name}

{kind}, exported by skinflow-jax, which trains such models to answer a clinical photograph of skin
with a structured description of what is visible, or a ranked list of six diagnoses. What this one
went through stands under Training.

## Not a medical device

This is research software. It is **not a medical device**, has not been validated for clinical use
and must not be used to diagnose, treat or triage anybody. Its answers can be wrong in ways that
look convincing, and differently wrong on different skin types. It knows the images and diagnoses of
its training data alone; a photograph of anything else gets an answer all the same.

{sections}## Licence

{licence}

## Use

In the folder of this file, with torch, transformers{packages} and pillow installed:

```python
{use}
```
"""

_IMPORTS = """from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer
"""

_PREPARED = """
image = Image.new("RGB", (224, 224), "peachpuff")  # yours: Image.open("photograph.jpg")
question = {question}

# One token of the prompt stands for the image; the model wants as many as the image has units.
pixels = AutoImageProcessor.from_pretrained({whole}, backend="pil")(image, return_tensors="pt")
units = int(pixels["image_grid_thw"].prod()) // {merge_unit}
turn = [{{"type": "image"}}, {{"type": "text", "text": question}}]
prompt = tokenizer.apply_chat_template(
    [{{"role": "user", "content": turn}}], add_generation_prompt=True, tokenize=False
)
placeholder = tokenizer.convert_ids_to_tokens({image_token_id})
inputs = tokenizer(prompt.replace(placeholder, placeholder * units), return_tensors="pt")
answer = model.generate(
    input_ids=inputs["input_ids"],
    attention_mask=inputs["attention_mask"],
    mm_token_type_ids=(inputs["input_ids"] == {image_token_id}).long(),
    pixel_values=pixels["pixel_values"].to(model.dtype),
    image_grid_thw=pixels["image_grid_thw"],
    max_new_tokens=128,
    do_sample=False,
)
print(tokenizer.decode(answer[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))"""


def model_card(model: Vlm, card: Card | Mapping[str, str]) -> str:
    """Markdown for a folder that holds the whole model, its adapters folded in.

    `card` may be sections alone, heading to paragraph.
    """
    config, parameters = model.config, parameter_count(without_adapters(model))
    card = card if isinstance(card, Card) else Card(sections=card)
    dynamic = config.vision.dve is not None
    trust = ", trust_remote_code=True" if dynamic else ""
    loaded = (
        f'folder = "."\nmodel = AutoModelForImageTextToText.from_pretrained('
        f'folder, dtype="auto"{trust})\n'
        f"tokenizer = AutoTokenizer.from_pretrained(folder{trust})\n"
    )
    kind = (
        f"A vision-language model of the Qwen2.5-VL architecture with {parameters / 1e6:,.1f} "
        f"million parameters\n({config.text.num_layers} decoder layers, {config.vision.depth} "
        "vision blocks"
    )
    kind += ", some of them dynamic: their code is in this folder)" if dynamic else ")"
    return _rendered(
        card, kind, _IMPORTS + "\n" + loaded + _prepared(config, "folder"), library="transformers"
    )


def adapter_card(model: Vlm, card: Card, base: str, made_by: str | None = None) -> str:
    """Markdown for a folder of the PEFT adapters of `model`, upon the model at `base`.

    `made_by`: the command that makes the folder `base`, where it has to be made first.
    """
    config = model.config
    parameters = parameter_count(model) - parameter_count(without_adapters(model))
    loaded = "" if made_by is None else f"# The base is made by: {made_by}\n"
    loaded += (
        f'base, folder = {json.dumps(base)}, "."\n'
        'model = AutoModelForImageTextToText.from_pretrained(base, dtype="auto")\n'
        "model = PeftModel.from_pretrained(model, folder)\n"
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
    )
    kind = (
        f"LoRA adapters of {parameters / 1e6:,.3f} million parameters upon a vision-language "
        "model\nof the Qwen2.5-VL architecture"
    )
    imports = _IMPORTS.replace("from transformers", "from peft import PeftModel\nfrom transformers")
    use = imports + "\n" + loaded + _prepared(config, "base")
    return _rendered(card, kind, use, library="peft", packages=", peft")


def _prepared(config: VlmConfig, whole: str) -> str:
    """The lines after loading; `whole` names the folder of the whole model."""
    return _PREPARED.format(
        whole=whole,
        question=json.dumps(TASKS["diagnosis"].wording()),
        merge_unit=config.vision.merge_unit,
        image_token_id=config.image_token_id,
    )


def _rendered(card: Card, kind: str, use: str, *, library: str, packages: str = "") -> str:
    sections = (card.sections or _UNSTATED).items()
    return _CARD.format(
        fields=_fields(card, library),
        name=card.name,
        kind=kind,
        sections="".join(f"## {title}\n\n{text}\n\n" for title, text in sections),
        licence=_licence(card),
        packages=packages,
        use=use,
    )


def _fields(card: Card, library: str) -> str:
    """The front matter; JSON's strings are YAML's."""
    lines = [f"library_name: {library}", "pipeline_tag: image-text-to-text", "license: other"]
    if card.base_model:
        lines.append(f"base_model: {json.dumps(card.base_model)}")
    return "\n".join([*lines, "tags:", "- dermatology", "- research"])


def _licence(card: Card) -> str:
    base = f"the base model, {card.base_model}," if card.base_model else "what they descend from"
    return (
        "The exporter states no licence of its own. What may be done with these weights follows "
        f"from the licences of {base} and of the training data: look them up before you share them."
    )
