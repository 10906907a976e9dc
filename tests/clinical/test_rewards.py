"""Claims about the rewards: what is right is paid, what peers could be tricked with is not."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinflow_jax.clinical import (
    FIELDS,
    caption_field_scores,
    caption_reward,
    diagnosis_reward,
    first_accepted,
    ontology,
    to_json,
)
from skinflow_jax.clinical.relations import related, relation
from skinflow_jax.clinical.rewards import FALSE_ALARM, safety_cost
from skinflow_jax.errors import InputError

REFERENCE = {
    "lesion_type": "nodule",
    "colour": ["brown", "black"],
    "shape": "irregular",
    "size": "10-20 mm",
    "border": "ill-defined",
    "surface": "smooth",
    "distribution": "solitary",
    "location": "back",
}
NAMES = sorted(ontology().diseases)
DISEASES = st.sampled_from(NAMES)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9) | DISEASES,
    lambda inner: (
        st.lists(inner, max_size=7)
        | st.dictionaries(st.sampled_from(["diagnoses", *FIELDS]) | st.text(max_size=5), inner)
    ),
    max_leaves=12,
)


def ranked(*names):
    """A well-formed answer."""
    return json.dumps({"diagnoses": list(names)})


def test_a_perfect_caption_scores_one_and_an_absent_field_costs_its_share():
    assert caption_reward(to_json(REFERENCE), REFERENCE) == 1.0
    without = {name: value for name, value in REFERENCE.items() if name != "location"}
    assert caption_reward(to_json(without), REFERENCE) == pytest.approx(7 / 8)


def test_only_fields_that_the_reference_knows_are_scored():
    known = {"location": "nose", "size": "7 mm"}
    text = to_json({**REFERENCE, "location": "nose", "size": "5-10 mm"})
    assert caption_field_scores(text, known) == {"size": 1.0, "location": 1.0}
    assert caption_reward(text, known) == 1.0


def test_a_caption_of_the_whole_vocabulary_scores_nothing():
    text = json.dumps({name: field.values for name, field in FIELDS.items()})
    assert caption_reward(text, REFERENCE) == 0.0


@pytest.mark.parametrize("text", ["", "{}", "[]", "e", '{"colour": ""}', '{"colour": []}'])
def test_an_empty_caption_scores_nothing(text):
    assert caption_reward(text, REFERENCE) == 0.0


def test_a_caption_that_names_the_disease_scores_nothing():
    text = json.dumps({**REFERENCE, "surface": ["smooth", "melanoma"]})
    assert caption_reward(text, REFERENCE) == 0.0


@pytest.mark.parametrize("reference", [{}, {"colour": []}])
def test_a_reference_without_fields_is_an_error(reference):
    with pytest.raises(InputError, match="knows no field"):
        caption_reward("{}", reference)


@pytest.mark.parametrize("rank", range(1, 7))
def test_the_first_accepted_rank_decides_the_reward(rank):
    wrong = ["psoriasis", "scabies", "vitiligo", "lipoma", "rosacea"][: rank - 1]
    text = ranked(*wrong, "malignant melanoma", "MEL")
    text = text if rank < 6 else ranked(*wrong, "melanoma")
    assert first_accepted(text, "melanoma") == rank
    assert diagnosis_reward(text, "melanoma") == pytest.approx((7 - rank) / 6)
    assert diagnosis_reward(text, "melanoma", scale="reciprocal") == pytest.approx(1 / rank)


def test_repeats_of_one_disease_collapse_before_ranks_are_counted():
    text = ranked("naevus", "mole", "Nevi.", "melanocytic nevus", "melanoma")
    assert first_accepted(text, "melanoma") == 2
    assert first_accepted(ranked("odd name", "Odd-Name", "melanoma"), "melanoma") == 2


@pytest.mark.parametrize("answer", ["Melanoma.", "melanoma\n", " MELANOMA ", "Melanomas"])
def test_a_full_stop_a_newline_or_capitals_cost_nothing(answer):
    assert diagnosis_reward(ranked(answer), "melanoma") == 1.0
    assert diagnosis_reward(ranked(answer) + "\n", "melanoma") == 1.0


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("", "melanoma"),
        ("melanoma", "melanoma"),
        (ranked(""), "melanoma"),
        (ranked("e"), "melanoma"),
        (ranked("not melanoma"), "melanoma"),
        (ranked("anything but melanoma"), "melanoma"),
        (ranked(", ".join(NAMES)), "melanoma"),
        (ranked(" ".join(NAMES)), "melanoma"),
        (ranked(*NAMES), "melanoma"),
        (ranked("melasma"), "melanoma"),
        (ranked("melanoma"), "melasma"),
        (ranked("basal cell carcinoma"), "squamous cell carcinoma"),
        (ranked("squamous cell carcinoma"), "basal cell carcinoma"),
        (ranked("carcinoma", "skin cancer", "tumour", "keratinocyte cancer"), "BCC"),
        (ranked("melanoma") * 2, "melanoma"),
        (ranked("melanoma") + "\n" + ranked("naevus"), "melanoma"),
        (f"```json\n{ranked('melanoma')}\n```\n```json\n{ranked('acne')}\n```", "melanoma"),
        ('{"diagnoses": ["acne"], "diagnoses": ["melanoma"]}', "melanoma"),
        ('{"diagnoses": [["melanoma"]]}', "melanoma"),
        ('{"diagnoses": ["melanoma"], "why": "melanoma"}', "melanoma"),
    ],
)
def test_what_fooled_the_rewards_of_others_earns_nothing(text, reference):
    assert diagnosis_reward(text, reference) == 0.0
    assert first_accepted(text, reference) is None


def test_the_safety_penalty_sees_critical_undetermined_and_refused_answers_and_goes_below_0():
    text = ranked("naevus", "melanoma")
    assert diagnosis_reward(text, "melanoma") == pytest.approx(5 / 6)
    assert diagnosis_reward(text, "melanoma", safety_penalty=0.5) == pytest.approx(1 / 3)
    assert diagnosis_reward(text, "melanoma", safety_penalty=2.0) == pytest.approx(-7 / 6)
    assert diagnosis_reward(ranked("melanoma"), "melanoma", safety_penalty=0.5) == 1.0
    for wrong in (ranked("naevus"), ranked("xyz"), ranked("skin cancer"), "no list", ""):
        assert diagnosis_reward(wrong, "melanoma", safety_penalty=0.5) == -0.5
    harmless = ranked("Merkel cell carcinoma")
    assert diagnosis_reward(harmless, "melanoma", safety_penalty=0.5) == 0.0


def test_a_false_alarm_costs_less_than_what_is_missed():
    def cost(first, reference):
        return -diagnosis_reward(ranked(first), reference, safety_penalty=1.0)

    for missed, truth in (
        ("actinic keratosis", "basal cell carcinoma"),  # not critical, and the cancer is missed
        ("basal cell carcinoma", "melanoma"),  # weeks are lost
        ("urticaria", "bullous pemphigoid"),
    ):
        assert cost(missed, truth) == 1.0
    for alarm, truth in (
        ("bullous pemphigoid", "vitiligo"),
        ("melanoma", "naevus"),
        ("psoriasis", "tinea corporis"),  # critical: a steroid feeds it
    ):
        assert cost(alarm, truth) == pytest.approx(FALSE_ALARM)
    assert cost("vitiligo", "psoriasis") == 0.0
    # A class can be acted on in no case, be it critical or only undetermined.
    assert relation("eczema", "scabies").safety == "critical"
    assert relation("eczema", "psoriasis").safety == "undetermined"
    assert cost("eczema", "scabies") == cost("eczema", "psoriasis") == cost("xyz", "psoriasis") == 1
    assert 0 < FALSE_ALARM < 1


def test_no_first_name_is_safe_whatever_is_true():
    """A decoy in the first place would pay wherever the right name stands behind it."""
    known = ontology()
    truths = [known.diseases[name] for name in ("melanoma", "basal cell carcinoma", "vitiligo")]
    for guess in known.diseases.values():
        costs = [safety_cost(related(known, guess, truth)) for truth in truths]
        assert max(costs) > 0, guess.name


def test_a_harmless_sibling_is_paid_its_share_and_a_dangerous_one_nothing():
    options = {"sibling_credit": 0.4}
    assert diagnosis_reward(ranked("tinea pedis"), "tinea corporis", **options) == pytest.approx(
        0.4
    )
    text = ranked("acne", "tinea pedis", "tinea corporis")
    assert diagnosis_reward(text, "tinea corporis", **options) == pytest.approx(4 / 6)
    assert diagnosis_reward(ranked("psoriasis"), "tinea corporis", **options) == 0.0
    assert diagnosis_reward(ranked("xyz"), "tinea corporis", **options) == 0.0


@given(st.text() | JSON_VALUES.map(json.dumps), DISEASES)
def test_rewards_never_raise_stay_in_range_and_repeat(text, reference):
    for reward, least in (
        (lambda: caption_reward(text, REFERENCE), 0.0),
        (lambda: diagnosis_reward(text, reference), 0.0),
        (lambda: diagnosis_reward(text, reference, scale="reciprocal", safety_penalty=0.3), -0.3),
    ):
        assert least <= reward() <= 1.0
        assert reward() == reward()


@given(st.lists(DISEASES, min_size=1, max_size=6), DISEASES)
def test_the_reward_agrees_with_the_first_accepted_rank(names, reference):
    rank = first_accepted(ranked(*names), reference)
    expected = 0.0 if rank is None else (7 - rank) / 6
    assert diagnosis_reward(ranked(*names), reference) == pytest.approx(expected)
    assert rank is not None or reference not in names


def test_rewards_do_not_depend_on_the_hash_seed_and_need_no_jax():
    code = (
        "import sys; sys.modules['jax'] = None\n"
        "from skinflow_jax.clinical import caption_field_scores as scores\n"
        'text = \'{"colour": ["pink", "purple", "black"], "size": "7 mm"}\'\n'
        "print(scores(text, {'colour': ['red', 'brown', 'blue'], 'size': '12 mm'}))"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert runs == {"{'colour': 0.5, 'size': 0.5}\n"}
