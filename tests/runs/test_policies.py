"""What a tokenizer is trained on, bad rows left out."""

from dataclasses import dataclass

from skinflow_jax.clinical import CLINICAL
from skinflow_jax.data.chat import prompt_texts
from skinflow_jax.data.sources import Case
from skinflow_jax.errors import InputError
from skinflow_jax.runs.cases import training_floor
from skinflow_jax.runs.policies import tokenizer_corpus
from skinflow_jax.tokenizers import render_default_chat


@dataclass
class SourceWithABadRow:
    name: str = "fake"
    diagnoses: tuple[str, ...] = ("psoriasis", "vitiligo")

    def __len__(self):
        return 3

    def case(self, index):
        if index == 1:
            raise InputError("metadata.csv row 3: diagnostic 'XYZ' is unknown")
        return Case(f"c{index}", f"c{index}", {"shape": "round"}, self.diagnoses[index // 2])


def test_a_bad_row_keeps_neither_the_tokenizer_nor_the_baseline_from_the_other_rows():
    source = SourceWithABadRow()
    assert training_floor(source, CLINICAL).labels == ("psoriasis", "vitiligo")
    texts = tokenizer_corpus(source, seed=0)
    assert sum('{"shape": "round"}' in text for text in texts) >= 2


def test_the_corpus_holds_each_prompt_as_often_as_there_are_cases():
    source = SourceWithABadRow()
    texts = tokenizer_corpus(source, seed=0)
    assert all(texts.count(prompt) >= 2 for prompt in prompt_texts(render_default_chat))
