"""A small source whose images tell which case they belong to, and a tokenizer trained on it."""

import numpy as np
import pytest

from skinflow_jax.data.chat import corpus
from skinflow_jax.data.records import RecordSet, build_records
from skinflow_jax.data.sources.case import Case
from skinflow_jax.data.tasks import PAPERS
from skinflow_jax.errors import InputError
from skinflow_jax.models.config import model_config
from skinflow_jax.tokenizers import train_sentencepiece

BUDGET = {"min_pixels": 56 * 56, "max_pixels": 112 * 168}


class ShadedSource:
    """`count` cases; case i is a plain grey image of `shade(i)`; those in `bad` cannot be read."""

    name = "shaded"
    diagnoses = ("acne", "melanoma", "psoriasis", "rosacea", "eczema", "vitiligo", "lentigo")
    note = "synthetic"

    def __init__(self, count=11, bad=()):
        self.count, self.bad = count, bad

    @staticmethod
    def shade(index):
        return 10 + 20 * index

    def __len__(self):
        return self.count

    def case(self, index):
        return Case(
            case_id=f"case-{index}",
            group=f"patient-{index // 2}",
            caption={"colour": ["red", "brown"] if index % 2 else "red", "shape": "round"},
            diagnosis=self.diagnoses[index % len(self.diagnoses)],
            attributes={"fitzpatrick": 1 + index % 6},
        )

    def images(self, index):
        if index in self.bad:
            raise InputError(f"case-{index}.jpg: cannot be read as an image; replace the file")
        return [np.full((90 + 17 * (index % 5), 100, 3), self.shade(index), np.uint8)]

    def image_digests(self, index):
        return [f"shade {self.shade(index)}"]


@pytest.fixture(scope="session")
def source():
    return ShadedSource()


@pytest.fixture(scope="session")
def shaded_source():
    return ShadedSource


@pytest.fixture(scope="session")
def tokenizer(source, tmp_path_factory):
    def render(messages):
        prompt = messages[0]["content"][-1]["text"]
        return f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"

    cases = [source.case(i) for i in range(len(source))]
    texts = list(corpus(cases, source.diagnoses, 0, render))
    assert len(texts) > len(cases) * len(PAPERS)
    return train_sentencepiece(texts, tmp_path_factory.mktemp("tokenizer"), vocab_size=700)


@pytest.fixture(scope="session")
def config(tokenizer):
    return model_config("tiny").with_tokenizer(tokenizer)


@pytest.fixture(scope="session")
def records(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("records") / "shaded"
    build_records(source, folder, fingerprint={"split": "train"}, shard_bytes=200_000, **BUDGET)
    return RecordSet(folder)
