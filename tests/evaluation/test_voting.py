"""Several ranked lists become one by votes: what counts, and what decides."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinflow_jax.clinical import parse_diagnoses
from skinflow_jax.clinical.limits import MOST_CHARACTERS_OF_VALUE
from skinflow_jax.clinical.rewards import disease_key, distinct
from skinflow_jax.evaluation.voting import Lists, merged, merged_answer

DISEASES = ["melanoma", "psoriasis", "acne", "vitiligo", "rosacea", "basal cell carcinoma", "xyz"]
SYNONYMS = {"melanoma": "Malignant melanoma", "basal cell carcinoma": "BCC"}
LISTS = st.lists(st.lists(st.sampled_from(DISEASES), max_size=6), max_size=6)


def answer(*names):
    return json.dumps({"diagnoses": names})


def points(lists):
    """By disease: the points of Borda, and the best rank."""
    found = {}
    for names in map(distinct, lists):
        for rank, name in enumerate(names):
            sum_, best = found.get(name, (0, 9))
            found[name] = sum_ + 6 - rank, min(best, rank)
    return found


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ([["acne", "melanoma"]], ["acne", "melanoma"]),
        # 6 + 5 against 5 + 6, and both are first once: the first occurrence.
        ([["acne", "melanoma"], ["melanoma", "acne"]], ["acne", "melanoma"]),
        # 5 + 5 against 6: what many have second goes before what one has first.
        ([["rosacea", "acne"], ["melanoma", "acne"]], ["acne", "rosacea", "melanoma"]),
        # 6 against 3 + 3: the best rank.
        (
            [["melanoma"], ["acne", "a", "b", "psoriasis"], ["xyz", "c", "d", "psoriasis"]],
            ["melanoma", "acne", "xyz", "psoriasis", "a", "c"],
        ),
        ([], []),
        ([[], []], []),
        ([[], ["acne"]], ["acne"]),
    ],
)
def test_ranks_are_points_and_ties_go_by_the_best_rank_then_the_first_occurrence(lists, expected):
    assert merged(lists) == expected


@given(LISTS)
def test_the_order_is_that_of_the_points_and_then_of_the_best_rank(lists):
    found, known = merged(lists), points(lists)
    order = [(-known[name][0], known[name][1]) for name in found]
    assert order == sorted(order)
    left = [(-p, best) for name, (p, best) in known.items() if name not in found]
    assert len(found) == min(6, len(known)) and all(other >= order[-1] for other in left)


@given(LISTS, st.randoms())
def test_the_order_of_the_lists_decides_only_between_equals(lists, random):
    known = points(lists)
    shuffled = random.sample(lists, len(lists))
    assert [known[name] for name in merged(shuffled)] == [known[name] for name in merged(lists)]


@given(LISTS, st.data())
def test_repeats_and_synonyms_count_once_a_list_and_for_one_disease(lists, data):
    def repeated(names):
        again = [SYNONYMS.get(name, name) for name in names]
        return [*names, *again, *names]

    other = [
        [SYNONYMS.get(name, name) if data.draw(st.booleans()) else name for name in names]
        for names in lists
    ]
    keys = [disease_key(name) for name in merged(lists)]
    assert [disease_key(name) for name in merged(map(repeated, lists))] == keys
    assert [disease_key(name) for name in merged(other)] == keys


@given(st.lists(LISTS.filter(any), min_size=1, max_size=3))
def test_the_same_lists_twice_change_nothing(several):
    for lists in several:
        assert merged(lists * 2) == merged(lists)


HOSTILE = ["\ud800", "\x00", "\u202emelanoma", "<script>", '"', "\\", "melanoma?", "{" * 40, "\t"]
NAMES = st.one_of(
    st.text(max_size=20), st.sampled_from([*HOSTILE, *DISEASES]), st.text('\\"é漢', min_size=500)
)


@given(st.lists(st.lists(NAMES, max_size=8).map(lambda names: answer(*names)) | NAMES, min_size=1))
def test_whatever_a_model_writes_the_merged_answer_reads_back_or_is_the_first_text(texts):
    text, share = merged_answer(texts)
    lists = [names for names in (parse_diagnoses(text).names for text in texts) if names]
    if not lists:
        assert (text, share) == (texts[0], None)
        return
    assert parse_diagnoses(text).names == merged(lists)
    assert 0 <= share <= len(lists) / len(texts)


def test_six_of_the_longest_names_are_still_an_answer():
    names = [chr(0x20000 + i) * MOST_CHARACTERS_OF_VALUE for i in range(6)]
    text, _ = merged_answer([json.dumps({"diagnoses": names}, ensure_ascii=False)])
    assert parse_diagnoses(text).names == names


def test_the_confidence_is_the_share_of_all_texts_that_name_the_first_first():
    texts = [answer("melanoma", "acne"), answer("Malignant melanoma"), answer("acne"), "refused"]
    text, share = merged_answer(texts)
    assert json.loads(text)["diagnoses"] == ["melanoma", "acne"] and share == 0.5
    # One that is first in no list, and second in all, has none.
    _, share = merged_answer([answer(name, "acne") for name in ("melanoma", "rosacea", "vitiligo")])
    assert share == 0.0


def test_lists_say_how_they_are_made():
    assert str(Lists(5, 0.7)) == "5 lists sampled at temperature 0.7, merged by votes"
