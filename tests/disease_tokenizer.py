"""A tokenizer for models that have learnt nothing: whatever they write is a list of diagnoses."""

import json

from shallow import SHALLOW

DISEASES = ["melanoma", "psoriasis", "acne", "vitiligo", "rosacea"]


class Diseases:
    """A tokenizer whose every id is a disease; a prompt is an image and three words."""

    def render_chat(self, messages, *, add_generation_prompt):
        return "prompt"

    def encode(self, text):
        return [SHALLOW.image_token_id, 11, 12, 13]

    def decode(self, ids, *, skip_special=True):
        return json.dumps({"diagnoses": [DISEASES[i % 5] for i in ids]})
