"""Claims about diagnoses as people write them: what is read, and what never is."""

import csv
import json
from pathlib import Path

import pytest
from counted_lines import lines_run
from hypothesis import example, given
from hypothesis import strategies as st

from skinflow_jax.clinical import find, ontology
from skinflow_jax.clinical.name_index import index_of, words_of
from skinflow_jax.clinical.name_text import MOST_CHARACTERS
from skinflow_jax.clinical.names import Unread, _read, read_name
from skinflow_jax.clinical.ontology import parse_ontology
from skinflow_jax.clinical.qualifiers import qualifiers

NAMES = [name for d in ontology().diseases.values() for name in (d.name, *d.synonyms)]
ANSWERS = [d.name for d in ontology().diseases.values() if d.answerable]
HEADER = (
    "name,synonyms,abbreviations,parents,answerable,nature,infection,contagious,urgency,"
    "first_step,partition,source,review\n"
)


def table(name):
    with Path(__file__).with_name(name).open(newline="", encoding="utf-8") as file:
        return [tuple(row.values()) for row in csv.DictReader(file)]


def escaped(text):
    r"""\uXXXX of the table as the character itself; it may be half of a surrogate pair."""
    return json.loads(f'"{text}"', strict=False) if "\\u" in text else text


def small(*rows):
    """An ontology of "name,synonyms,abbreviations,nature" rows below one class."""
    lines = ["skin disease,,,,no,,,,,,,,"]
    lines += [
        f"{name},{synonyms},{short},skin disease,yes,{nature},none,none,soon,removal,other,,"
        for name, synonyms, short, nature in (row.split(",") for row in rows)
    ]
    return parse_ontology(HEADER + "\n".join(lines), "small.csv")


@pytest.mark.parametrize(("text", "disease"), table("names_read.csv"))
def test_a_name_is_read_as_people_write_it(text, disease):
    assert find(disease) is not None
    assert read_name(text, ontology()).diseases == (find(disease),)


@pytest.mark.parametrize(("text", "reason"), table("names_refused.csv"))
def test_what_denies_weakens_lists_or_hides_is_refused_with_the_reason(text, reason):
    reading = read_name(escaped(text), ontology())
    assert (reading.diseases, reading.unread) == ((), Unread(reason))


def test_every_name_of_the_ontology_is_read_in_capitals_and_with_a_stop():
    missed = [
        name
        for disease in ontology().diseases.values()
        for name in (disease.name, *disease.synonyms)
        if not find(name) is find(name.upper()) is find(f" {name}.\n") is disease
    ]
    assert missed == []


def test_an_abbreviation_of_several_diseases_is_read_as_the_one_that_fits_the_truth():
    known = small("alpha keratosis,,AK,n/a", "acral keratoma,,AK,n/a", "acne,,,n/a")
    reading = read_name("AK of the hand", known)
    assert {d.name for d in reading.diseases} == {"alpha keratosis", "acral keratoma"}
    assert reading.unread is None
    assert reading.disease is None
    for name in ("alpha keratosis", "acral keratoma"):
        assert reading.fitting(known.diseases[name]).name == name
    assert reading.fitting(known.diseases["acne"]) is None


def test_a_word_that_makes_another_disease_is_no_qualifier():
    for word in (
        *("pustular", "metastatic", "dysplastic", "congenita", "pseudo", "verrucous", "neonatal"),
        *(
            "bullous",
            "systemic",
            "secondary",
            "atypical",
            "drug",
            "induced",
            "situ",
            "desmoplastic",
        ),
        *("ocular", "uveal", "necrotising", "gangrenous", "haemorrhagic", "senile", "juvenile"),
    ):
        assert word not in qualifiers().groups, word


def test_no_refusing_word_is_a_qualifier_or_a_described_one():
    kept = qualifiers()
    assert not kept.refused.keys() & (kept.glue | kept.described | kept.articles)
    assert kept.refused.keys() & kept.groups.keys() <= {"severals"}


def test_a_mistyped_word_is_read_only_where_one_disease_can_be_meant():
    known = small(
        "melasma,,,n/a", "melanoma,,,malignant", "keratolysis,,,n/a", "keratosis,,,benign"
    )
    assert read_name("melanomma", known).disease.name == "melanoma"
    for text in ("melansma", "keratolosis"):
        assert read_name(text, known).diseases == ()
    assert read_name("melansma", known).unread is Unread.AMBIGUOUS


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("hypomelanosis", "hypermelanosis"),
        ("parakeratosis", "porokeratosis"),
        ("dermatosis", "dermatitis"),
        ("histiocytosis", "histiocytoma"),
        ("hepatoma", "haematoma"),
        ("hematoma", "hepatoma"),
        ("rubella", "rubeola"),
        ("Gilbert syndrome", "Gibert syndrome"),
        ("platonychia", "paronychia"),
        ("vesiculitis", "vasculitis"),
        ("Mitchell syndrome", "Mitchell disease"),
        ("lichen planis", "lichen planus pilaris"),
    ],
)
def test_another_word_of_medicine_is_no_slip_for_a_name(written, name):
    assert read_name(written, small(f"{name},,,n/a")).diseases == ()


def test_words_of_the_disease_ontology_are_no_slips_for_ours(test_data):
    """Whoever adds a name to the ontology adds to other_words.txt what this test lists."""
    path = test_data / "data/reference_terms/disease_ontology.tsv"
    with path.open(newline="") as file:
        labels = [row["label"] for row in csv.DictReader(file, delimiter="\t")]
    index = index_of(ontology())
    mistaken = [
        (label, reading.diseases[0].name)
        for label in labels
        for reading in [read_name(label, ontology())]
        if reading.diseases and not index.named(reading.words) and len(reading.words) == 1
    ]
    assert mistaken == []


def test_a_disease_left_out_is_not_read_as_an_unlike_one():
    """What is no name of the ontology is read as a wider one at most, but for one in fifty."""
    ours, unlike, asked = ontology(), [], 0
    diseases = list(ours.diseases.values())
    for start in range(8):
        out = {disease.name for disease in diseases[start::8]}
        rest = type(ours)({n: d for n, d in ours.diseases.items() if n not in out}, ours._above)
        for disease in (ours.diseases[name] for name in sorted(out)):
            for name in (disease.name, *disease.synonyms):
                asked += 1
                for found in read_name(name, rest).diseases:
                    if not index_of(ours).akin(found, disease):
                        unlike.append((name, found.name))
    assert len(unlike) < asked / 50, unlike


@pytest.mark.parametrize(
    "frame",
    [
        *(
            "no {}",
            "not {}",
            "{}?",
            "?{}",
            "possible {}",
            "{} or melasma",
            "≠{}",
            "{} (-)",
            "{}-like",
        ),
        *("{} excluded", "r/o {}", "history of {}", "{} vs melasma", "without {}", "~~{}~~", "{}!"),
        *("{}; cherry angioma", "{} + cherry angioma", "{}/scabies", "cherry angioma and {}"),
        *("{}\nscabies", "scabies ({})", "0 {}", "{} 0 %", "\u200b{}", "<{}>", "{} xyz", "un{}"),
    ],
)
def test_no_frame_that_denies_hedges_or_lists_leaves_a_name_accepted(frame):
    akin = index_of(ontology()).akin
    added = [find("scabies"), find("melasma"), find("cherry angioma")]
    names = [name for name in ANSWERS[::10] if not any(akin(find(name), one) for one in added)]
    assert [name for name in names if find(frame.format(name))] == []


# What may stand beside a name: qualifiers, refusing words, plain description and signs.
BESIDE = sorted(
    {*qualifiers().groups, *qualifiers().refused, *qualifiers().described}
    | {*"-+/,;:.()[]?!&~", "and", "0", "C43", "not a", "\u0336", "\u200b"}
)


@given(
    st.sampled_from(ANSWERS),
    st.sampled_from(ANSWERS),
    st.lists(st.sampled_from(BESIDE), min_size=1, max_size=3),
    st.integers(0, 80),
)
@example("dermatofibroma", "melanoma", ["malignant"], 0)
@example("naevus", "melanoma", ["invasive"], 0)
@example("melasma", "melanoma", ["C43"], 0)
def test_nothing_put_into_a_name_makes_another_unlike_disease_of_it(name, other, more, place):
    index, text = index_of(ontology()), f"{name[:place]} {' '.join(more)} {name[place:]}"
    truth, found = find(other), read_name(text, ontology()).diseases
    if truth in found and not index.akin(truth, find(name)):
        # Only where the words themselves are its name: "contact" + "allergic" dermatitis.
        assert any(set(name_words(n)) <= set(name_words(text)) for n in (other, *truth.synonyms))


def name_words(text):
    return words_of(text.replace("(", " ").replace(")", " "))


@given(st.sampled_from(ANSWERS), st.sampled_from(ANSWERS), st.sampled_from(" ,;/+&|-\n:.([?"))
def test_two_unlike_names_in_an_entry_are_never_read_as_either(first, second, sign):
    index = index_of(ontology())
    a, b = find(first), find(second)
    found = read_name(f"{first}{sign}{second}", ontology()).diseases
    if not index.akin(a, b) and len(found) == 1 and found[0] in (a, b):
        # "lichen" + "planus": where the two together are the name of one of them.
        assert index.exactly(read_name(f"{first} {second}", ontology()).words) == found


@given(st.text())
@example("\ud800")
@example("\x00")
@example("(" * 150)
@example("'" * 150)
@example("\u0301" * 150)
def test_any_text_is_read_or_refused(text):
    reading = read_name(text, ontology())
    assert (reading.unread is None) == bool(reading.diseases)


@given(st.text(alphabet="ab -,.()/'&\u0301é1T", max_size=MOST_CHARACTERS))
def test_any_row_of_the_signs_that_are_known_is_read_or_refused(text):
    reading = read_name(text, ontology())
    assert (reading.unread is None) == bool(reading.diseases)


@pytest.mark.parametrize("text", [" " * 262_144, "a" * 10_000_000, "melanoma " * 30_000])
def test_a_long_text_is_refused_unread(text):
    reading = read_name(text, ontology())
    assert reading.diseases == ()
    assert reading.unread in (Unread.TOO_LONG, Unread.EMPTY)
    assert lines_run(lambda long: read_name(long, ontology()), text) < 100


@pytest.mark.parametrize(
    "piece", ["lichen ", "a", "a ", "(x) ", "x, ", "-a", "é", "melanoma/", "i "]
)
def test_reading_twice_the_text_takes_at_most_four_times_the_lines_run(piece):
    """Within the length that is read a name among qualifiers is sought word by word."""
    size = MOST_CHARACTERS // len(piece) // 2
    once, twice = (lines_run(lambda t: _read(t, ontology()), piece * n) for n in (size, 2 * size))
    assert twice <= 4.5 * once
    assert twice < 60_000


def test_every_tabulated_code_stands_for_one_disease():
    index = index_of(ontology())
    assert len(index._codes) > 50
    assert [code for code, found in index._codes.items() if len(found) != 1] == []
