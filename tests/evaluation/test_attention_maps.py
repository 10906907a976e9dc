"""Which tokens are looked from, which image is looked at, and what is kept of it."""

import dataclasses
import json

import numpy as np
import pytest
from random_model import SHALLOW, spread_model

from skinflow_jax.data.buckets import Buckets
from skinflow_jax.data.pipeline import Batch, Example, prompt_inputs
from skinflow_jax.errors import InputError
from skinflow_jax.evaluation.attention_figures import FIGURES
from skinflow_jax.evaluation.attention_files import read_attention, write_attention
from skinflow_jax.evaluation.attention_maps import attention_of, first_diagnoses
from skinflow_jax.evaluation.attention_summary import attention_changes, summarise_attention
from skinflow_jax.evaluation.image_maps import to_tokens
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.models.vlm import DEFAULT_COMPUTE
from skinflow_jax.tokenizers import load_tokenizer

SIZE = (56, 84)
ANSWER = '{"diagnoses": ["acne", "lentigo"]}'


class Pairs:
    """A tokenizer of pairs of letters; a prompt is an image and three words."""

    def render_chat(self, messages, *, add_generation_prompt):
        return "prompt"

    def encode(self, text):
        if text == "prompt":
            return [SHALLOW.vision_start_token_id, SHALLOW.image_token_id, 11, 12, 13]
        self.pairs = [text[i : i + 2] for i in range(0, len(text), 2)]
        return list(range(20, 20 + len(self.pairs)))

    def decode(self, ids, *, skip_special=True):
        return "".join(self.pairs[i - 20] for i in ids)


def prediction(case, text=ANSWER, first="acne"):
    return Prediction(case, "diagnosis", text, "acne", first is not None, first=first)


@pytest.fixture(scope="module")
def model():
    return spread_model(SHALLOW)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8) for _ in range(3)]


def mask(column):
    found = np.zeros(SIZE, bool)
    found[:, column : column + 30] = True
    return found


def looked_at(model, shown, masks=None, predictions=None):
    """The attention of cases "0", "1", …, each with one of `shown`, in a batch with a repeat."""
    masks = masks or [mask(30 * i) for i in range(len(shown))]
    examples = [
        Example(str(i), "diagnosis", {}, "acne", {}, (image,), "<image>What?", mask=m)
        for i, (image, m) in enumerate(zip(shown, masks, strict=True))
    ]
    inputs = prompt_inputs([*examples, examples[-1]], Pairs(), SHALLOW, Buckets((16,), (1,), 1))
    batch = Batch(inputs, None, None, [*examples, examples[-1]], len(examples))
    told = predictions or [prediction(example.case_id) for example in examples]
    answers = first_diagnoses(told, Pairs())
    return attention_of(model, [batch], answers, compute=DEFAULT_COMPUTE)


@pytest.mark.parametrize(
    "text, spelt", [(ANSWER, "acne"), (ANSWER.replace(" ", ""), '"acne"')], ids=["even", "odd"]
)
def test_the_tokens_of_the_first_diagnosis_are_those_that_spell_it(text, spelt):
    """Tokens that have more than the name count whole."""
    tokenizer = Pairs()
    (answer,) = first_diagnoses([prediction("a", text)], tokenizer).values()
    assert tokenizer.decode(answer.ids[answer.start :]) == spelt
    assert text.startswith(tokenizer.decode(answer.ids))


@pytest.mark.parametrize("name", ["melanoma", "lichen planus", "Spitz naevus", "皮膚炎 🙂 é"])
def test_so_they_are_with_the_published_tokenizer(test_data, name):
    tokenizer = load_tokenizer(test_data / "qwen2_5_vl_7b")
    text = json.dumps({"diagnoses": [name, "diagnoses"]}, ensure_ascii=False)
    (answer,) = first_diagnoses([prediction("a", text, name)], tokenizer).values()
    spelt = tokenizer.decode(answer.ids[answer.start :])
    assert name in spelt and len(spelt) <= len(name) + 3
    assert list(answer.ids) == tokenizer.encode(text)[: len(answer.ids)]


@pytest.mark.parametrize(
    "told",
    [
        prediction("a", "not well-formed", None),
        dataclasses.replace(prediction("a"), task="caption"),
        prediction("a", '{"diagnoses": ["\\u0061cne"]}', "acne"),
    ],
)
def test_other_answers_are_not_looked_from(told):
    assert first_diagnoses([told], Pairs()) == {}


def test_every_case_has_maps_of_mean_one_over_its_own_tokens(model, images):
    found = looked_at(model, images)
    assert [case.case_id for case in found] == ["0", "1", "2"]
    for i, case in enumerate(found):
        assert case.sizes == (SIZE,) and case.grids == ((2, 3),)
        assert case.maps.shape == (2, 2, 6)
        np.testing.assert_allclose(case.maps.mean(axis=-1), 1, rtol=1e-5)
        assert case.maps.std(axis=-1).min() > 1e-3
        image = case.figures[..., FIGURES.index("image")]
        assert (image > 0).all() and (image < 1).all()
        np.testing.assert_allclose(case.covered, to_tokens(mask(30 * i) * 1.0, (2, 3)).ravel())
    assert np.abs(found[0].maps - found[1].maps).max() > 0.01


def test_layers_and_key_heads_have_the_mean_that_the_map_has(model, images):
    """Shares of the image are linear: their mean over layers and key heads is that of the map."""
    case = looked_at(model, images)[0]
    text = SHALLOW.text
    assert case.layers.shape == (text.num_layers, text.num_kv_heads, 2, len(FIGURES))
    image = FIGURES.index("image")
    np.testing.assert_allclose(
        case.layers[..., image].mean(axis=(0, 1)), case.figures[:, 0, image], rtol=1e-5
    )


def test_an_exchanged_image_gives_its_own_map_beside_the_mask_of_the_case(model, images):
    """What the control compares: the map follows the image that is shown, the mask does not."""
    masks = [mask(0), mask(30), mask(54)]
    own = looked_at(model, images, masks)
    shown = looked_at(model, [images[1], images[2], images[0]], masks)
    for case, (other, same) in enumerate([(1, 0), (2, 1), (0, 2)]):
        np.testing.assert_allclose(shown[case].maps, own[other].maps, rtol=1e-4)
        np.testing.assert_array_equal(shown[case].covered, own[same].covered)
    summary = summarise_attention(own, {"images exchanged": shown})
    other, differences = summary.controls["images exchanged"]
    inside = ("prompt", "mean", "inside")
    assert differences[inside].n == 3
    np.testing.assert_allclose(
        differences[inside].mean, other.figures[inside].value - summary.figures[inside].value
    )
    assert differences[inside].mean != 0


def test_a_case_without_a_first_diagnosis_or_a_mask_is_counted(model, images):
    told = [prediction("0"), prediction("1", "no", None), prediction("2")]
    found = looked_at(model, images, [mask(0), mask(1), None], told)
    assert np.isnan(found[1].maps[1]).all() and not np.isnan(found[1].maps[0]).any()
    summary = summarise_attention(found)
    assert summary.missing() == {
        "without a first diagnosis in the answer": 1,
        "without a mask": 1,
    }
    counts = {key: figure.n for key, figure in summary.figures.items()}
    assert counts["prompt", "mean", "entropy"] == 3 and counts["prompt", "mean", "inside"] == 2
    assert counts["diagnosis", "rollout", "entropy"] == 2
    assert counts["diagnosis", "rollout", "inside"] == 1
    text = json.dumps(summary.to_dict(), allow_nan=False)
    assert json.loads(text)["figures"]["prompt"]["mean"]["inside"]["n"] == 2
    assert any("1 cases without a mask" in line for line in summary.lines())


def test_what_is_written_is_read_again(model, images, tmp_path):
    found = looked_at(model, images, [mask(0), mask(30), None])
    write_attention(found, tmp_path / "attention.npz")
    again = read_attention(tmp_path)
    for a, b in zip(found, again, strict=True):
        assert (a.case_id, a.group, a.sizes, a.grids) == (b.case_id, b.group, b.sizes, b.grids)
        np.testing.assert_allclose(a.maps, b.maps, rtol=2e-3)
        np.testing.assert_allclose(a.covered, b.covered, rtol=2e-3)
        np.testing.assert_allclose(a.layers, b.layers, rtol=1e-6)
    assert all(
        d.mean == pytest.approx(0, abs=1e-6)
        for d in attention_changes(found, again).values()
        if d.n
    )


def test_two_models_are_compared_on_the_cases_that_both_have(model, images):
    before = looked_at(model, images)
    after = looked_at(spread_model(SHALLOW, seed=1), images[:2])
    changes = attention_changes(before, after)
    i = FIGURES.index("entropy")
    expected = [
        b.figures[0, 1, i] - a.figures[0, 1, i] for a, b in zip(before, after, strict=False)
    ]
    found = changes["prompt", "rollout", "entropy"]
    assert found.n == 2 and found.mean == pytest.approx(np.mean(expected))


def test_a_file_that_is_damaged_later_or_has_a_case_twice_is_named(model, images, tmp_path):
    found, path = looked_at(model, images), tmp_path / "attention.npz"
    with pytest.raises(InputError, match=r"attention\.npz: No such file.*--attention first"):
        read_attention(path)
    write_attention([*found, found[0]], path)
    with pytest.raises(InputError, match="case 0 is there twice"):
        read_attention(path)
    write_attention(found, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="is no whole attention"):
        read_attention(path)
    with np.load(_rewritten(path, whole)) as file:
        arrays = dict(file) | {"version": np.int32(2)}
    np.savez(path, **arrays)
    with pytest.raises(InputError, match="version 2 is not known"):
        read_attention(path)


def _rewritten(path, content):
    path.write_bytes(content)
    return path
