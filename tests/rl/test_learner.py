"""A GRPO step: what is sampled, scored and learned belongs together, and compiles once."""

import dataclasses
import itertools
import json
import re
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from random_model import SHALLOW, random_inputs, spread_model

from skinflow_jax.clinical import Refusal
from skinflow_jax.data.pipeline import Batch, Example
from skinflow_jax.errors import ConfigError, RunError
from skinflow_jax.models.vlm import DEFAULT_COMPUTE
from skinflow_jax.rl.config import GrpoConfig
from skinflow_jax.rl.learner import GrpoLearner
from skinflow_jax.rl.losses import PolicyLossConfig
from skinflow_jax.rl.rewards import REWARDS
from skinflow_jax.rl.sampler import Rollout
from skinflow_jax.rl.update import completion_metrics
from skinflow_jax.training.loop import Stopped
from skinflow_jax.training.sinks import RunWriter
from skinflow_jax.training.state import create_state

PROMPTS, GROUP, LENGTH = 4, 4, 4
OPTIMIZER = optax.adam(1e-2)
CONFIG = GrpoConfig(group_size=GROUP, max_tokens=LENGTH, rewards=("caption",), compactions=0)


class Numbers:
    """Decodes ids to their numbers, so that a reward can read them."""

    def decode(self, ids):
        return " ".join(map(str, ids))


def example(number):
    image = np.full((28, 28, 3), number, np.uint8)
    return Example(f"case-{number}", "caption", {}, "acne", {}, (image,))


def batch_of(cases, grids=None, seed=0):
    """Case i has an image and prompt of its own, whatever batch it is in."""
    grids = grids or {}
    rows = [
        random_inputs([[grids.get(c, (4, 4))]], SHALLOW, seed=100 * seed + c, length=32, windows=2)
        for c in cases
    ]
    inputs = jax.tree.map(lambda *xs: np.concatenate(xs), *rows)
    return Batch(inputs, None, None, [example(c) for c in cases], len(cases))


@pytest.fixture
def run(monkeypatch):
    """(learner, state) for a reward (ids of the completion, number of the case) → float."""

    def make(reward, steepness=1.0, *, collate=None, optimizer=OPTIMIZER, **options):
        """`options` replace settings of CONFIG."""

        def read(completions, examples):
            return [
                reward(
                    [int(word) for word in text.split()], int(example.case_id.removeprefix("case-"))
                )
                for text, example in zip(completions, examples, strict=True)
            ]

        monkeypatch.setitem(REWARDS, "caption", read)
        config, model = dataclasses.replace(CONFIG, **options), spread_model(SHALLOW)
        model.decoder.head[...] *= steepness
        learner = GrpoLearner(
            optimizer,
            Numbers(),
            config,
            seed=3,
            compute=DEFAULT_COMPUTE,
            reference=spread_model(SHALLOW) if config.needs_reference else None,
            collate=collate,
        )
        return learner, create_state(model, optimizer)

    return make


def share_of_low_ids(ids, case):
    return sum(i < 512 for i in ids) / max(len(ids), 1)


def test_a_line_of_the_log_says_group_reference_tokens_and_weighted_reward(run):
    learner, state = run(share_of_low_ids, reward_weights=(0.5,))
    rows = learner.step(state, iter([batch_of([1, 1, 2, 3])]), 0).rollouts
    assert [row["group"] for row in rows] == [g for g in range(PROMPTS) for _ in range(GROUP)]
    assert {row["reference"] for row in rows} == {"{}"}  # the caption of these cases
    for row in rows:
        words = len(row["completion"].split())
        assert words <= row["tokens"] <= words + 1  # an end token is no text
        assert row["reward"] == 0.5 * row["rewards"]["caption"]


def test_a_function_of_trl_is_told_the_tokens_and_the_step(run, tmp_path):
    file = tmp_path / "scheduled.py"
    file.write_text(
        "def scheduled(completion_ids, trainer_state, **kwargs):\n"
        "    return [trainer_state.global_step + len(ids) / 100 for ids in completion_ids]\n"
    )
    learner, state = run(share_of_low_ids, rewards=(f"{file}:scheduled",))
    rows = learner.step(state, iter([batch_of(range(4))]), 5).rollouts
    lengths = [len(row["completion"].split()) for row in rows]
    found = [row["rewards"]["scheduled"] for row in rows]
    np.testing.assert_allclose(found, 5 + np.array(lengths) / 100, rtol=1e-6)


@pytest.mark.slow
def test_steps_with_other_prompts_and_images_of_one_bucket_compile_nothing_new(run):
    learner, state = run(share_of_low_ids)
    compiled = []
    grids = [(4, 4), (6, 10), (2, 6), (8, 8)] * 2
    for step in range(4):
        cases = [step, step + 4, 2 * step, 7]
        batch = batch_of(cases, dict(zip(cases, grids[step : step + 4], strict=True)))
        result = learner.step(state, iter([batch]), step)
        state = result.state
        compiled.append(result.metrics["compilations"])
    assert compiled[0] > 0 and compiled[1:] == [0, 0, 0]
    assert int(state.step) == 4


@pytest.mark.slow
def test_after_warming_up_no_size_of_batch_compiles_anything(run, monkeypatch):
    """Prompts and images vary in size; every bucket was compiled before the first step."""
    monkeypatch.setattr("skinflow_jax.rl.learner.CHUNK", LENGTH // 2)
    loss = PolicyLossConfig(kl_coef=0.1)
    learner, state = run(share_of_low_ids, mini_batches=2, loss=loss)
    shapes = [(24, 1), (32, 2)]
    batches = [sized_batch(length, windows, seed) for seed, (length, windows) in enumerate(shapes)]
    learner.warm_up(state, [jax.tree.map(np.zeros_like, batch.inputs) for batch in batches])
    found = []
    for step in range(4):
        result = learner.step(state, iter([batches[step % 2]]), step)
        state = result.state
        found.append(result.metrics["compilations"])
    assert found == [0, 0, 0, 0]


def test_asked_to_stop_it_leaves_between_two_chunks_and_draws_the_same_again(run, monkeypatch):
    monkeypatch.setattr("skinflow_jax.rl.learner.CHUNK", 1)
    learner, state = run(share_of_low_ids)
    asked = []

    def at_the_third():
        asked.append(1)
        return len(asked) == 3

    learner.stop = at_the_third
    with pytest.raises(Stopped):
        learner.step(state, iter([batch_of(range(PROMPTS))]), 0)
    assert len(asked) == 3 < LENGTH
    learner.stop = lambda: False
    again = learner.step(state, iter([batch_of(range(PROMPTS))]), 0)
    other, state = run(share_of_low_ids)
    expected = other.step(state, iter([batch_of(range(PROMPTS))]), 0)
    assert again.rollouts == expected.rollouts


def sized_batch(length, windows, seed):
    inputs = random_inputs([[(4, 4)]] * PROMPTS, SHALLOW, seed=seed, length=length, windows=windows)
    return Batch(inputs, None, None, [example(c) for c in range(PROMPTS)], PROMPTS)


def test_a_step_tells_where_its_time_went(run):
    learner, state = run(share_of_low_ids)
    metrics = learner.step(state, iter([batch_of(range(PROMPTS))]), 0).metrics
    for phase in ("vision_prefill", "decode", "reward", "update"):
        assert metrics[f"time/{phase}"] > 0
    assert metrics["tokens_per_second"] > 0 and metrics["tflops_per_device"] > 0
    assert "mfu" not in metrics  # no CPU has a peak that we know


def test_completions_that_no_reward_can_read_are_counted_by_the_reason(run):
    learner, state = run(share_of_low_ids)
    metrics = learner.step(state, iter([batch_of(range(PROMPTS))]), 0).metrics
    assert metrics["refused/all"] == PROMPTS * GROUP
    counted = {code: metrics[f"refused/{code}"] for code in Refusal}
    assert sum(counted.values()) == PROMPTS * GROUP and counted["names_disease"] == 0


@pytest.mark.slow
def test_dynamic_sampling_draws_batches_until_every_group_teaches(run):
    """Only groups of odd cases differ in reward."""
    learner, state = run(
        lambda ids, case: sum(ids) if case % 2 else 0.0, max_refills=3, collate=collate
    )
    batches = iter([batch_of([0, 1, 2, 4]), batch_of([3, 6, 5, 8]), batch_of([7, 9, 11, 10])])
    result = learner.step(state, batches, 0)
    assert [row["case_id"] for row in result.rollouts[::GROUP]] == [
        f"case-{case}" for case in (1, 3, 5, 7)
    ]
    assert result.metrics["dynamic_sampling/refills"] == 2
    assert result.metrics["frac_reward_zero_std"] == 0
    expected = collate([example(case) for case in (1, 3, 5, 7)])
    np.testing.assert_array_equal(result.inputs.input_ids, expected.input_ids)


@pytest.mark.slow
def test_a_refilled_batch_is_learned_from_by_the_same_programs(run):
    """Also after another start: with refills, without, and with several updates a rollout."""
    learner, state = run(
        lambda ids, case: sum(ids) if case % 2 else 0.0,
        max_refills=1,
        mini_batches=2,
        collate=collate,
    )
    learner.warm_up(state, [jax.tree.map(np.zeros_like, batch_of(range(PROMPTS)).inputs)])
    found = []
    for step, draws in enumerate([[[1, 3, 5, 7]], [[1, 0, 2, 3], [5, 4, 6, 7]], [[9, 11, 13, 1]]]):
        result = learner.step(state, iter([batch_of(cases) for cases in draws]), step)
        state = result.state
        found.append((result.metrics["dynamic_sampling/refills"], result.metrics["compilations"]))
    assert found == [(0, 0), (1, 0), (0, 0)]


@pytest.mark.slow
def test_the_evidence_of_a_broken_update_is_its_mini_batch(run):
    """The first update ruins the weights, the second, of prompts 1 and 3, is not finite."""
    learner, state = run(share_of_low_ids, optimizer=optax.sgd(1e30), mini_batches=2)
    result = learner.step(state, iter([batch_of(range(PROMPTS))]), 0)
    assert result.metrics["optimizer_steps"] == 1 and not np.isfinite(result.metrics["loss"])
    rollout = result.evidence.rollout
    texts = [
        Numbers().decode(row[seen])
        for row, seen in zip(
            rollout.tokens.reshape(-1, LENGTH), rollout.mask.reshape(-1, LENGTH), strict=True
        )
    ]
    rows = [row for row in result.rollouts if row["case_id"] in ("case-1", "case-3")]
    assert texts == [row["completion"] for row in rows]
    np.testing.assert_allclose(
        result.evidence.advantages.ravel(), [row["advantage"] for row in rows]
    )


@pytest.mark.slow
def test_speed_counts_all_that_was_sampled(run, monkeypatch):
    monkeypatch.setattr(time, "perf_counter", itertools.count().__next__)
    seen = {}
    for draws in (1, 2):
        learner, state = run(lambda ids, case: 0.0, max_refills=draws - 1, collate=collate)
        batches = iter([batch_of(range(PROMPTS))] * draws)
        metrics = learner.step(state, batches, 0).metrics
        seconds = 1 / (metrics["tokens_per_second"] / (draws * float(metrics["num_tokens"])))
        seen[draws] = metrics["tflops_per_device"] * seconds
    assert 1 < seen[2] / seen[1] < 2, "the second draw is sampled, not learned from"


@pytest.mark.slow
def test_the_log_probabilities_that_stay_are_begun_before_texts_are_scored(run, monkeypatch):
    events = []
    learner, state = run(
        lambda ids, case: events.append("reward") or float(sum(ids)), mini_batches=2
    )
    begun = learner._log_probs
    monkeypatch.setattr(
        learner, "_log_probs", lambda *args: events.append("log-probabilities") or begun(*args)
    )
    learner.step(state, iter([batch_of(range(PROMPTS))]), 0)
    assert events == ["log-probabilities"] + ["reward"] * PROMPTS * GROUP


def test_a_reward_that_fails_in_another_process_ends_the_step_here(run, monkeypatch):
    """What all processes of a step agree upon is the scoring, whole; see test_agreement.py."""
    scored = []

    def as_another_fails(action):
        scored.append(action())
        raise RunError("theirs (process 1)")

    monkeypatch.setattr("skinflow_jax.rl.learner.together", as_another_fails)
    learner, state = run(share_of_low_ids)
    with pytest.raises(RunError, match="theirs"):
        learner.step(state, iter([batch_of(range(PROMPTS))]), 0)
    assert scored[0].shape == (PROMPTS, GROUP, 1)


@pytest.mark.slow
def test_a_run_of_which_no_completion_is_scored_stops_at_its_third_step(run, monkeypatch):
    learner, state = run(lambda ids, case: None)
    for step in range(2):
        state = learner.step(state, iter([batch_of(range(PROMPTS))]), step).state
    with pytest.raises(RunError, match="step 3: for 3 steps in a row no completion was scored"):
        learner.step(state, iter([batch_of(range(PROMPTS))]), 2)


@pytest.mark.slow
def test_a_run_of_equal_rewards_goes_on_and_says_so_once(run, monkeypatch, capsys):
    monkeypatch.setattr("skinflow_jax.rl.learning_signal.STEPS_OF_EQUAL_REWARDS", 2)
    learner, state = run(lambda ids, case: 0.5)
    for step in range(5):
        state = learner.step(state, iter([batch_of(range(PROMPTS))]), step).state
    assert capsys.readouterr().out.count("had equal rewards, which give no learning signal") == 1


@pytest.mark.slow
def test_a_kl_can_be_measured_without_being_a_loss(run):
    learner, state = run(share_of_low_ids, log_kl=True, loss=PolicyLossConfig(kl_estimator="k1"))
    found = []
    for step in range(2):
        result = learner.step(state, iter([batch_of(range(PROMPTS))]), step)
        state = result.state
        found.append(abs(float(result.metrics["kl"])))
    assert found[0] < 1e-5 < 1e-3 < found[1]


def collate(examples):
    return batch_of([int(e.case_id.removeprefix("case-")) for e in examples]).inputs


@pytest.mark.slow
def test_the_overlong_penalty_is_one_more_reward_and_the_others_are_weighted(run):
    learner, state = run(share_of_low_ids, overlong_cache=2, reward_weights=(3.0,))
    result = learner.step(state, iter([batch_of(range(PROMPTS))]), 0)
    lengths = [len(row["completion"].split()) for row in result.rollouts]
    found = [row["rewards"]["overlong"] for row in result.rollouts]
    assert found == [-max(0, length - 2) / 2 for length in lengths]
    by_name = [float(result.metrics[f"rewards/{n}/mean"]) for n in ("caption", "overlong")]
    assert float(result.metrics["reward"]) == pytest.approx(3 * by_name[0] + by_name[1])


@pytest.mark.slow
def test_a_reward_that_prefers_some_tokens_is_learned_within_a_few_steps(run):
    learner, state = run(share_of_low_ids)
    rewards = []
    for step in range(20):
        result = learner.step(state, iter([batch_of(range(PROMPTS), seed=step)]), step)
        state = result.state
        rewards.append(float(result.metrics["reward"]))
    assert 0.2 < rewards[0] < 0.8
    assert np.mean(rewards[-3:]) > 0.9, rewards


def test_each_row_of_the_rollouts_file_belongs_to_its_own_case(run, tmp_path):
    """With steep logits a completion depends on the prompt alone: it must move with its case."""
    completions = {}
    for place, cases in enumerate(([0, 1, 2, 3], [2, 0, 3, 1])):
        learner, state = run(lambda ids, case: ids[0] + case / 8, steepness=1e3)
        result = learner.step(state, iter([batch_of(cases)]), 0)
        with RunWriter(tmp_path / str(place)) as writer:
            writer.rollouts(1, result.rollouts)
        lines = (tmp_path / str(place) / "rollouts.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        expected = [f"case-{case}" for case in cases for _ in range(GROUP)]
        assert [row["case_id"] for row in rows] == expected
        np.testing.assert_array_equal(result.images[:, 0, 0, 0], cases)
        for row in rows:
            case = int(re.findall(r"\d+", row["case_id"])[0])
            first = int(row["completion"].split()[0])
            assert row["rewards"]["caption"] == first + case / 8
        completions[place] = {row["case_id"]: row["completion"] for row in rows}
    assert completions[0] == completions[1]
    assert len(set(completions[0].values())) == PROMPTS


def test_advantages_of_the_rows_are_those_of_their_groups_rewards(run):
    learner, state = run(share_of_low_ids)
    rows = learner.step(state, iter([batch_of(range(PROMPTS))]), 0).rollouts
    rewards = np.array([row["rewards"]["caption"] for row in rows]).reshape(PROMPTS, GROUP)
    found = np.array([row["advantage"] for row in rows]).reshape(PROMPTS, GROUP)
    deviation = rewards - rewards.mean(axis=1, keepdims=True)
    expected = deviation / (rewards.std(axis=1, ddof=1, keepdims=True) + 1e-4)
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_groups_of_equal_rewards_are_counted_and_teach_nothing(run):
    learner, state = run(lambda ids, case: 0.5)
    before = jax.tree.map(np.array, state.model)
    result = learner.step(state, iter([batch_of(range(PROMPTS))]), 0)
    assert result.metrics["frac_reward_zero_std"] == 1
    assert result.metrics["loss"] == result.metrics["grad_norm"] == 0
    for new, old in zip(jax.tree.leaves(result.state.model), jax.tree.leaves(before), strict=True):
        np.testing.assert_array_equal(new, old)

    learner, state = run(lambda ids, case: 0.5 if case == 1 else float(np.sum(ids)))
    metrics = learner.step(state, iter([batch_of(range(PROMPTS))]), 0).metrics
    assert metrics["frac_reward_zero_std"] == 1 / PROMPTS
    assert metrics["grad_norm"] > 0


def test_completion_metrics_are_those_of_numpy():
    lengths = np.array([[3, 7], [1, 5], [7, 7]])
    ended = np.array([[True, False], [True, True], [False, True]])
    mask = np.arange(7) < lengths[..., None]
    zeros = np.zeros(mask.shape)
    found = completion_metrics(Rollout(zeros, jnp.array(mask), zeros, jnp.array(ended)))
    closed = lengths[ended]
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {
            "completions/mean_length": lengths.mean(),
            "completions/min_length": 1,
            "completions/max_length": 7,
            "completions/clipped_ratio": 2 / 6,
            "completions/mean_terminated_length": closed.mean(),
            "completions/min_terminated_length": closed.min(),
            "completions/max_terminated_length": closed.max(),
            "num_tokens": lengths.sum(),
        }
    )
    none = completion_metrics(Rollout(zeros, jnp.array(mask), zeros, jnp.zeros((3, 2), bool)))
    assert none["completions/clipped_ratio"] == 1
    for statistic in ("mean", "min", "max"):
        assert none[f"completions/{statistic}_terminated_length"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group_size": 1}, "rl.group_size=1 must be a whole number from 2 to"),
        ({"temperature": 0.0}, "rl.temperature=0.0 must be a finite number from 0.001"),
        ({"rewards": ("beauty",)}, "choose from caption, diagnosis"),
        ({"rewards": ()}, "choose from caption, diagnosis"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        GrpoConfig(**options)


def test_a_kl_penalty_and_a_reference_go_together():
    config = GrpoConfig(loss=PolicyLossConfig(kl_coef=0.1))
    with pytest.raises(ConfigError, match=r"rl\.log_kl, and a reference go together"):
        GrpoLearner(OPTIMIZER, Numbers(), config, seed=0, compute=DEFAULT_COMPUTE)
