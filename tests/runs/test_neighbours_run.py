"""`evaluate --neighbours`: whose images are compared, with what, and what is refused."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from random_model import SHALLOW, spread_model
from test_attention_evaluation import Letters

from skinflow_jax.command.line import parse
from skinflow_jax.config import DataConfig, EvaluationConfig, RunConfig
from skinflow_jax.data.pipeline import evaluation_batches
from skinflow_jax.errors import ConfigError
from skinflow_jax.evaluation.case_features import case_features
from skinflow_jax.evaluation.floor import floor_of
from skinflow_jax.evaluation.neighbours import neighbours_of
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.evaluation.summary import summarise
from skinflow_jax.models.image_features import image_features
from skinflow_jax.models.vlm import ComputeConfig
from skinflow_jax.runs.cases import buckets, heldout_cases, prepare_records
from skinflow_jax.runs.neighbours import check_neighbours, find_neighbours, labelled_cases
from skinflow_jax.runs.opening import Policy

DATA = DataConfig(
    count=9, max_pixels=84 * 84, options={"image_size": 84}, windows=(1,), prompt_lengths=(16,)
)
CONFIG = RunConfig(data=DATA, evaluation=EvaluationConfig(count=5, batch_size=2, neighbours=7))


@pytest.fixture(scope="module")
def policy():
    return Policy(spread_model(SHALLOW), Letters())


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return labelled_cases(CONFIG, tmp_path_factory.mktemp("records"))


def batches_of(policy, records):
    return functools.partial(
        evaluation_batches,
        *(records, policy.tokenizer, SHALLOW),
        batch_size=2,
        buckets=buckets(DATA, records),
    )


def found_among(policy, heldout, labelled):
    return find_neighbours(
        *(policy, CONFIG, heldout, labelled, functools.partial(batches_of, policy))
    )


def test_copies_of_labelled_images_are_all_found(policy, labelled):
    """In another order, so that they stand in other batches and rows."""
    heldout = labelled.select([5, 0, 6, 3, 2])
    near = found_among(policy, heldout, labelled)
    answers = [
        Prediction(case.case_id, "diagnosis", "", case.diagnosis, True, rank=1, first="x")
        for case in map(heldout.case, range(len(heldout)))
    ]
    assert len({answer.reference for answer in answers}) > 2
    reached = summarise(answers, floor_of([]), neighbours=near).neighbours.reached
    assert reached.top_1.value == 1.0 and reached.top_1.n == 5


def test_no_more_labelled_cases_are_made_than_are_looked_at(policy, labelled):
    assert len(labelled) == labelled.manifest.count == 7
    assert found_among(policy, labelled.select([0]), labelled).labelled == 7


def test_a_constant_tower_answers_in_the_order_of_the_labelled_cases(policy, labelled):
    model = spread_model(SHALLOW)
    model.vision.merger.out.kernel[...] = jnp.zeros_like(model.vision.merger.out.kernel[...])
    near = found_among(Policy(model, Letters()), labelled.select([4, 1]), labelled)
    diseases = dict.fromkeys(labelled.case(n).diagnosis for n in range(7))
    features = dict.fromkeys(("a", "b"), np.ones(3))
    labels = {str(n): name for n, name in enumerate(diseases)}
    alike = neighbours_of(features, dict.fromkeys(labels, np.ones(3)), labels)
    assert list(near.lists.values()) == list(alike.lists.values())


def test_features_are_the_mean_of_the_tokens_of_each_image_and_then_of_the_images(policy, labelled):
    """Of images of different sizes, one by one through the tower; empty slots count for nothing."""
    batch = next(batches_of(policy, labelled)(task="diagnosis"))
    inputs, model = batch.inputs, policy.model
    one = jax.tree.map(lambda x: x[:1], inputs)
    two = dataclasses.replace(
        one,
        **{
            name: np.concatenate([getattr(inputs, name)[:1], getattr(inputs, name)[1:2]], axis=1)
            for name in ("patches", "patch_mask", "patch_positions")
        },
    )
    two.patch_mask[0, 1, 4:] = False  # one token is left of the second image
    expected = []
    for mask in two.patch_mask[0]:
        image = len(expected)
        fields = (two.patches[0, image], mask, two.patch_positions[0, image])
        tokens = model.vision(*(jnp.asarray(field)[None] for field in fields))[0]
        expected.append(np.asarray(tokens)[mask.reshape(-1, 4)[:, 0]].mean(axis=0))
    found = image_features(model, two, ComputeConfig())
    np.testing.assert_allclose(found[0], np.mean(expected, axis=0), rtol=1e-4, atol=1e-5)


def test_every_case_has_features_and_repeats_of_the_last_row_have_none(policy, labelled):
    batches = batches_of(policy, labelled)(task="diagnosis")
    found = case_features(policy.model, batches, compute=ComputeConfig())
    assert list(found) == [labelled.case(n).case_id for n in range(7)]


def test_without_a_labelled_diagnosis_one_line_says_so(policy, labelled):
    near = found_among(policy, labelled.select([0]), labelled.select([]))
    answer = Prediction("a", "diagnosis", "", "acne", True, rank=1, first="acne")
    line = summarise([answer], floor_of([]), neighbours=near).neighbours.line()
    assert line == ("nearest neighbour: none, since no case of data.split=rl has a diagnosis")


def test_none_asked_for_opens_no_records(tmp_path):
    evaluation = dataclasses.replace(CONFIG.evaluation, neighbours=0)
    assert labelled_cases(dataclasses.replace(CONFIG, evaluation=evaluation), tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_the_drawn_cases_are_the_first_of_those_of_training(tmp_path, labelled):
    whole = prepare_records(DATA, DATA.split, DATA.count, tmp_path)
    cases = [whole.case(n).case_id for n in range(7)]
    assert [labelled.case(n).case_id for n in range(7)] == cases


@pytest.mark.parametrize(
    "changed, named",
    [
        ({"tasks": ("caption",)}, r"--config\.evaluation\.tasks=caption,diagnosis"),
        ({"split": "rl"}, "data.split=rl, so each is its own neighbour"),
    ],
)
def test_what_makes_no_floor_is_refused(changed, named):
    evaluation = dataclasses.replace(CONFIG.evaluation, **changed)
    with pytest.raises(ConfigError, match=named):
        check_neighbours(dataclasses.replace(CONFIG, evaluation=evaluation))
    check_neighbours(CONFIG)


@pytest.mark.parametrize(
    "given, cases", [([], None), (["--neighbours"], 500), (["--neighbours=20"], 20)]
)
def test_a_number_of_labelled_cases_may_be_given(given, cases):
    assert parse(["evaluate", "--checkpoint=x", *given]).neighbours == cases


def test_neighbours_need_a_model():
    with pytest.raises(ConfigError, match="--neighbours has no meaning with --predictions"):
        parse(["evaluate", "--predictions=x.jsonl", "--neighbours"])


def test_of_data_on_disk_labelled_cases_are_drawn_and_are_none_of_the_heldout_ones(tmp_path):
    rng = np.random.default_rng(0)
    for n in range(40):
        place = tmp_path / "data" / ("acne", "melanoma", "scabies", "rosacea")[n % 4]
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (84, 84, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{n}.png")
    data = dataclasses.replace(
        DATA, source="folder", data_root=str(tmp_path / "data"), options={}, count=None
    )
    config = dataclasses.replace(CONFIG, data=data)
    heldout, floor = heldout_cases(config, tmp_path / "records")
    chosen = labelled_cases(config, tmp_path / "records")
    cases = [chosen.case(n) for n in range(len(chosen))]
    assert len(cases) == 7 < len(floor.labels)
    assert len({case.diagnosis for case in cases}) > 1  # the first of a folder are of one class
    ids = {heldout.case(n).case_id for n in range(len(heldout))}
    assert ids and ids.isdisjoint(case.case_id for case in cases)
    again = labelled_cases(config, tmp_path / "records")
    assert [again.case(n) for n in range(7)] == cases
