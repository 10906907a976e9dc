"""Diagnoses from several sampled lists: the model's own, whatever the batches, and written whole.

The model is random; what it writes is read as a list of diseases by a tokenizer that stands in.
"""

import functools
import json

import pytest
from disease_tokenizer import Diseases
from random_model import SHALLOW, spread_model

from skinflow_jax.config import DataConfig, EvaluationConfig, RunConfig
from skinflow_jax.data.pipeline import evaluation_batches
from skinflow_jax.errors import ConfigError
from skinflow_jax.evaluation.journal import Journal
from skinflow_jax.evaluation.predictions import read_predictions, write_predictions
from skinflow_jax.evaluation.protocol import predict
from skinflow_jax.evaluation.voting import Lists
from skinflow_jax.models.vlm import DEFAULT_COMPUTE
from skinflow_jax.rl.sampler import sample
from skinflow_jax.runs.cases import buckets, prepare_records

COUNT, SAMPLES = 5, 4
LISTS = Lists(SAMPLES)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    data = DataConfig(
        count=2, max_pixels=84 * 84, options={"image_size": 84}, windows=(1,), prompt_lengths=(16,)
    )
    records = prepare_records(data, "heldout", COUNT, tmp_path_factory.mktemp("records"))
    model, tokenizer = spread_model(SHALLOW), Diseases()

    @functools.cache
    def answered(task="diagnosis", batch_size=2, lists=LISTS, reverse=False, **kept):
        chosen = records.select(range(COUNT)[:: -1 if reverse else 1])
        shape = {"batch_size": batch_size, "buckets": buckets(data, chosen)}
        batches = evaluation_batches(chosen, tokenizer, SHALLOW, task=task, **shape)
        options = {"max_tokens": 6, "compute": DEFAULT_COMPUTE, "lists": lists}
        return predict(model, batches, tokenizer, **options, **kept)

    return answered


def by_case(predictions):
    return {p.case_id: (p.text, p.confidence) for p in predictions}


def test_each_case_has_one_merged_list_and_the_share_of_lists_that_agree(answers, tmp_path):
    found = answers()
    assert len(by_case(found)) == COUNT
    for each in found:
        assert each.valid and each.first == json.loads(each.text)["diagnoses"][0]
        assert each.confidence in {i / SAMPLES for i in range(SAMPLES + 1)}
        assert each.log_prob is each.tokens is None
    assert len({each.text for each in found}) > 1
    write_predictions(found, tmp_path / "predictions.jsonl")
    assert read_predictions(tmp_path / "predictions.jsonl") == found


def test_neither_the_batch_nor_the_order_of_the_cases_changes_what_is_drawn(answers):
    own = by_case(answers())
    assert by_case(answers(batch_size=3)) == own
    assert by_case(answers(batch_size=1, reverse=True)) == own


def test_another_seed_draws_other_lists(answers):
    assert by_case(answers(lists=Lists(SAMPLES, seed=1))) != by_case(answers())


def test_one_list_is_the_greedy_one_and_captions_are_always_greedy(answers):
    greedy = answers(lists=Lists())
    assert all(each.tokens for each in greedy)
    cold = answers(lists=Lists(SAMPLES, 1e-3))
    # All lists of a cold sampler are the greedy one: each disease of it once.
    for one, several in zip(greedy, cold, strict=True):
        names = list(dict.fromkeys(json.loads(one.text)["diagnoses"]))
        assert json.loads(several.text)["diagnoses"] == names and several.confidence == 1
    assert answers("caption") == answers("caption", lists=Lists())


def test_an_evaluation_that_was_killed_asks_only_what_is_not_answered_yet(
    answers, tmp_path, monkeypatch
):
    """Of three batches, by a failure in the second."""
    asked = []

    def sampled(*given, **options):
        asked.append(options)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return sample(*given, **options)

    monkeypatch.setattr("skinflow_jax.evaluation.protocol.sample", sampled)
    path = tmp_path / "out" / "predictions.partial.jsonl"
    with pytest.raises(KeyboardInterrupt):
        answers(journal=Journal(path, {"weights": "a"}), part="diagnosis")
    whole = path.read_text()
    path.write_text(whole + whole.splitlines()[-1][:40])  # and one is cut short
    journal = Journal(path, {"weights": "a"})
    assert "going on after 1 finished batches" in journal.said and "; 1 lines" in journal.said
    assert path.read_text() == whole
    found = answers(journal=journal, part="diagnosis")
    assert len(asked) == 4 and found == answers()
    journal.remove()
    assert not path.exists()


def test_a_temperature_of_a_greedy_list_is_refused():
    with pytest.raises(ConfigError, match=r"evaluation.temperature=0.7 is of sampled lists, and"):
        EvaluationConfig(temperature=0.7)
    config = RunConfig(seed=3, evaluation=EvaluationConfig(samples=5, temperature=0.7))
    assert config.lists == Lists(5, 0.7, 3)
    with pytest.raises(ConfigError, match=r"evaluation.samples=1,000 .* tokens of an evaluated"):
        RunConfig(evaluation=EvaluationConfig(samples=1000, batch_size=1_000_000))
