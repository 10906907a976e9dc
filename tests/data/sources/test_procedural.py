"""Claims about the procedural source: reproducible, canonical, overlapping."""

import subprocess
import sys
from collections import Counter, defaultdict

import numpy as np
import pytest

from skinflow_jax.clinical.caption_schema import FIELDS
from skinflow_jax.clinical.names import find
from skinflow_jax.data.sources import procedural
from skinflow_jax.data.sources.disease_profiles import PROFILES
from skinflow_jax.data.sources.procedural import ProceduralSource
from skinflow_jax.errors import ConfigError

SMALL = 56


def _source(split="rl", seed=3, count=40, **options) -> ProceduralSource:
    return ProceduralSource(split=split, seed=seed, count=count, image_size=SMALL, **options)


def _words(value) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def test_a_case_and_its_image_depend_on_seed_split_and_index_and_not_on_order_or_count():
    forwards, backwards = _source(), _source(count=400)
    images = [forwards.images(i)[0] for i in range(6)]
    for i in reversed(range(6)):
        np.testing.assert_array_equal(backwards.images(i)[0], images[i])
        assert backwards.case(i) == forwards.case(i)


def test_drawings_that_look_different_have_another_version():
    """Records are taken for current by it. Within what other processors round differently."""
    assert procedural.DRAWING_VERSION == 1
    source = _source(clutter=1.0)
    found = [
        (*image.mean((0, 1)), image.std()) for image in (source.images(i)[0] for i in range(3))
    ]
    recorded = [(138.2, 95.9, 77.8, 50.1), (91.6, 68.1, 55.0, 26.0), (175.2, 126.4, 105.2, 51.8)]
    np.testing.assert_allclose(found, recorded, atol=0.3)


def test_every_case_has_the_mask_of_its_own_drawing_whatever_was_asked_for_before():
    source, other = _source(), _source()
    for index in range(6):
        source.images(index)[0][:] = 0  # of the caller, who may change it
    for index in reversed(range(6)):
        mask = source.mask(index, (SMALL, SMALL))
        assert source.case(index).mask and mask.shape == (SMALL, SMALL) and mask.any()
        np.testing.assert_array_equal(mask, other.mask(index, (SMALL, SMALL)))
        np.testing.assert_array_equal(source.images(index)[0], other.images(index)[0])


def test_the_digest_of_a_drawing_depends_on_what_it_is_drawn_with():
    plain = _source().image_digests(3)[0]
    assert plain == _source(count=4).image_digests(3)[0]
    assert plain != _source(clutter=0.5).image_digests(3)[0]
    larger = ProceduralSource(split="rl", seed=3, count=4, image_size=SMALL + 1)
    assert plain != larger.image_digests(3)[0]


def test_another_process_with_another_string_hash_draws_the_same_image():
    program = (
        "import zlib; from skinflow_jax.data.sources.procedural import ProceduralSource as P;"
        f"source = P(split='rl', seed=3, count=9, image_size={SMALL});"
        "print(zlib.crc32(source.images(5)[0].tobytes()))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(answers) == 1


def test_splits_and_seeds_share_no_case_and_no_image():
    sources = [_source(split=s) for s in ("warmup", "rl", "heldout")] + [_source(seed=4)]
    groups = [source.case(i).group for source in sources for i in range(len(source))]
    assert len(set(groups)) == len(groups)
    images = {source.images(i)[0].tobytes() for source in sources for i in range(20)}
    assert len(images) == 80


def test_the_image_has_the_size_asked_for_in_eight_bits():
    image = ProceduralSource(split="rl", seed=0, count=1, image_size=70).images(0)[0]
    assert image.shape == (70, 70, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous


def test_every_profile_is_a_specific_disease_of_the_ontology_under_its_canonical_name():
    assert len(PROFILES) >= 16
    for name in PROFILES:
        disease = find(name)
        assert disease is not None
        assert disease.name == name
        assert disease.answerable


def test_every_word_of_every_table_and_caption_is_canonical():
    for profile in PROFILES.values():
        tables = {name: getattr(profile, name) for name in FIELDS if name != "number"}
        tables |= {f"{n} again": getattr(profile, f"second_{n}") for n in ("colour", "surface")}
        for name, table in tables.items():
            assert set(table) <= set(FIELDS[name.removesuffix(" again")].values)
    source = _source(count=2000)
    for i in range(len(source)):
        caption = source.case(i).caption
        assert set(caption) == set(FIELDS)
        for name, value in caption.items():
            assert set(_words(value)) <= set(FIELDS[name].values)
            assert isinstance(value, str) or (FIELDS[name].many and len(value) > 1)


def test_captions_list_several_colours_now_and_then():
    source = _source(count=400)
    several = [not isinstance(source.case(i).caption["colour"], str) for i in range(len(source))]
    assert 0.02 < np.mean(several) < 0.3


def test_a_caption_does_not_contradict_itself():
    source = _source(count=1000)
    for i in range(len(source)):
        caption = source.case(i).caption
        assert (caption["distribution"] == "solitary") == (caption["number"] == "single")
        if caption["lesion_type"] in ("macule", "papule", "vesicle"):
            assert caption["size"] in ("under 5 mm", "5-10 mm")
        if caption["lesion_type"] in ("macule", "patch"):
            assert "skin-coloured" not in _words(caption["colour"])


def test_all_diseases_and_all_skin_types_occur_about_equally_often():
    source = _source(count=1800)
    cases = [source.case(i) for i in range(len(source))]
    diseases = Counter(case.diagnosis for case in cases)
    types = Counter(case.attributes["fitzpatrick"] for case in cases)
    # Five standard deviations of a binomial count around its mean.
    assert set(diseases) == set(source.diagnoses)
    assert all(abs(n - 100) < 50 for n in diseases.values())
    assert set(types) == {1, 2, 3, 4, 5, 6}
    assert all(abs(n - 300) < 80 for n in types.values())


def test_no_single_attribute_decides_the_diagnosis_but_all_together_do():
    """An oracle that counts: naive Bayes, so the accuracy on all attributes is a lower bound."""
    diseases = list(PROFILES)
    counts = defaultdict(lambda: np.full(len(diseases), 0.5))
    training, testing = _source("warmup", count=12_000), _source("heldout", count=2_000)
    for i in range(len(training)):
        case = training.case(i)
        for name, value in case.caption.items():
            counts[name, _words(value)][diseases.index(case.diagnosis)] += 1
    right = Counter()
    for i in range(len(testing)):
        case = testing.case(i)
        answer = diseases.index(case.diagnosis)
        scores = {name: np.log(counts[name, _words(v)]) for name, v in case.caption.items()}
        for name, score in scores.items():
            right[name] += score.argmax() == answer
        # Diseases are equally frequent: counts need no division but by their nearly equal totals.
        right["all"] += sum(scores.values()).argmax() == answer
    accuracy = {name: n / len(testing) for name, n in right.items()}
    print(accuracy)
    together = accuracy.pop("all")
    assert max(accuracy.values()) < 0.45
    assert together > 0.80


def test_clutter_changes_the_pixels_and_neither_the_case_nor_the_lesion_underneath():
    bare, cluttered = _source(), _source(clutter=1.0)
    changed = 0
    for i in range(20):
        assert bare.case(i) == cluttered.case(i)
        a, b = bare.images(i)[0].astype(int), cluttered.images(i)[0].astype(int)
        changed += not np.array_equal(a, b)
        # Light, pen and hair differ; the picture underneath is the same one.
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.4
    assert changed == 20


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"split": "test"}, "'test'"),
        ({"count": 0}, "count"),
        ({"clutter": 1.5}, "clutter"),
        ({"seed": -1}, "seed"),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(options, word):
    with pytest.raises(ConfigError, match=word):
        _source(**options)


def test_a_case_beyond_the_count_does_not_exist():
    with pytest.raises(IndexError, match="case 40 of 40"):
        _source().case(40)
