"""Claims about the page of a report that need no browser."""

import base64
import hashlib
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from synthetic_answers import (
    HOSTILE,
    captions,
    diagnoses,
    diagnosis,
    evaluated,
    evaluation,
    joined,
)

from skinflow_jax.errors import InputError
from skinflow_jax.evaluation.report.attention import AttentionMaps
from skinflow_jax.evaluation.report.page import Extras, Made, page
from skinflow_jax.evaluation.report.pictures import MOST_BYTES, Picture, pictures
from skinflow_jax.evaluation.report.subgroups import confusions

COUNT = 50
EMPTY = {"meta", "link", "input", "br", "img"}


class Parsed(HTMLParser):
    """Elements with their attributes, the text of each section, and of style and script."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.sections, self.inside, self.raw = [], {}, [], {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag not in EMPTY:
            self.inside.append((tag, attributes.get("id")))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop()[0] != tag:
            pass

    def handle_data(self, data):
        for tag, name in self.inside:
            if tag == "section":
                self.sections[name] = f"{self.sections.get(name, '')}{data}"
            if tag in ("style", "script"):
                self.raw[tag] = self.raw.get(tag, "") + data

    def text(self, section):
        return " ".join(self.sections[section].split())


@pytest.fixture(scope="module")
def one():
    found = joined(diagnoses(COUNT) + captions(COUNT), metrics=METRICS)
    made = Made(
        "run 0", [("ontology", "abc"), ("code that trained", "0.1.0+12")], '{\n "seed": 7\n}'
    )
    return page(found, Extras(data="Synthetic.", made=[made]))


METRICS = {
    "majority baseline": {"label": "acne", "accuracy": {"value": 0.25}},
    "floor": {"diagnoses": {"answer": ["acne"], "Top-1": {"value": 0.125}}},
}


def test_the_first_screen_says_what_on_how_many_and_how_little_it_means(one):
    text = Parsed(one).text("overview")
    assert f"{COUNT} cases, asked for diagnosis and caption. Synthetic." in text
    for figure in ("Top-1", "Top-6", "critical", "undetermined", "malignancy", "missed urgent"):
        assert figure in text
    assert "from 42 to 25 %" in text and "2605.04098" in text and "not a medical device" in text
    assert re.search(r"Top-1 \d+\.\d % 95 %: \d+\.\d to \d+\.\d · n = 50", text)
    assert "12.5 %" in text and "“acne” every time would reach Top-1 25.0 %" in text


def test_each_section_has_its_content(one):
    found = Parsed(one)
    assert "Top-6 is trivial" in found.text("ranks")
    assert "type VI" in found.text("skin") and "missed malignancy" in found.text("skin")
    assert "no answer" in found.text("confusion") and "unknown name" in found.text("confusion")
    assert "colour" in found.text("captions") and "50.0 %" in found.text("captions")
    assert "Not the same images" in found.text("published")
    for figure in ("29.19", "71.16", "15.22", "24.45", "17.13", "42.59"):
        assert figure in found.text("published")
    assert "0.1.0+12" in found.text("made") and '"seed": 7' in found.text("made")


def test_every_critical_and_missed_case_stands_on_the_page_of_safety_with_a_reason(one):
    missed = [p for p in diagnoses(COUNT) if p.malignancy_missed or p.urgent_missed]
    wanted = {p.case_id for p in missed} | {
        p.case_id for p in diagnoses(COUNT) if p.safety == "critical"
    }
    section = one[one.index('<section id="safety"') : one.index('<section id="cases"')]
    cards = section.split('<li class="danger-case"')[1:]
    assert {re.search(r">(case-\d+)</a>", card)[1] for card in cards} == wanted
    assert all("<li>" in card.split('class="reasons"')[1] for card in cards)
    assert "Melanoma is malignant; taken for psoriasis, which is no tumour" in section


def test_no_case_is_lost_from_a_confusion():
    truth_and_guess = (("psoriasis", "vitiligo"), ("psoriasis", "acne"), ("scabies", "xyz"))
    cases = [diagnosis(guess, [guess], truth) for truth, guess in truth_and_guess]
    (found,) = confusions(evaluation(cases))
    assert [row["total"] for row in found["rows"]] == [2, 1]
    assert {"elsewhere", "unknown name"} <= set(found["columns"])


def test_a_page_without_diagnoses_has_no_section_of_them():
    found = Parsed(page(joined(captions(4))))
    assert {"overview", "captions", "cases", "made"} == found.sections.keys()
    assert "caption reward" in found.text("overview")


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_outside_is_shown_and_never_markup(text):
    cases = [
        evaluated("q-1" + text, "question", text, text),
        diagnosis("case-1" + text, text, "melanoma" + text),
        diagnosis("case-2", [text, "melanoma"], "melanoma"),
    ]
    made = Made(text, [(text, text)], text)
    extras = Extras(data=text, notes=[text], made=[made])
    benign = Extras(data="x", notes=["x"], made=[Made("x", [("x", "x")], "x")])
    plain = page(joined([_renamed(p) for p in cases]), benign)
    found = Parsed(page(joined(cases), extras))
    tags = [tag for tag, _ in found.elements]
    assert sorted(set(tags)) == sorted({tag for tag, _ in Parsed(plain).elements})
    assert tags.count("script") == 1
    assert not [a for _, attributes in found.elements for a in attributes if a.startswith("on")]
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    assert shown in found.sections["cases"]


def _renamed(p):
    task = p.task
    return evaluated(
        p.case_id[:6], task, "text" if not p.valid or task == "question" else p.text, "x"
    )


def test_ten_megabytes_of_answer_are_cut_and_counted():
    text = page(joined([diagnosis("case-1", "y" * 10_000_000, "melanoma")]))
    assert "(10,000,000 characters in all)" in text and len(text) < 200_000


def test_the_page_loads_nothing_and_allows_only_its_own_style_and_script(one):
    found = Parsed(one)
    loads = [
        value
        for tag, attributes in found.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "xlink:href", "data", "action") and tag != "a"
    ]
    assert all(value.startswith(("#", "data:")) for value in loads)
    assert not re.search(r"url\(|@import|expression", found.raw["style"])
    policy = next(a["content"] for t, a in found.elements if t == "meta" and "http-equiv" in a)
    for kind in ("style", "script"):
        digest = hashlib.sha256(found.raw[kind].encode()).digest()
        assert f"{kind}-src 'sha256-{base64.b64encode(digest).decode()}';" in policy
    assert policy.startswith("default-src 'none';")
    assert not [tag for tag, attributes in found.elements if "style" in attributes]


def test_the_same_evaluations_give_the_same_bytes(one):
    assert one == page(
        joined(diagnoses(COUNT) + captions(COUNT), metrics=METRICS),
        Extras(
            data="Synthetic.",
            made=[
                Made(
                    "run 0",
                    [("ontology", "abc"), ("code that trained", "0.1.0+12")],
                    '{\n "seed": 7\n}',
                )
            ],
        ),
    )


def test_a_thousand_cases_with_images_that_hardly_compress_stay_below_25_mb():
    noise = np.random.default_rng(0).integers(0, 256, (448, 448, 3), np.uint8)
    shown = pictures([noise], MOST_BYTES // 1000)
    text = page(
        joined(diagnoses(1000) + captions(1000)),
        Extras({f"case-{i}": shown for i in range(1000)}, with_images=True),
    )
    assert text.count("data:image/jpeg") == 1000 and len(text.encode()) < 25e6


def test_an_image_is_drawn_anew_and_stands_in_the_page_once():
    image = np.full((600, 300, 3), 128, np.uint8)
    (shown,) = pictures([image], 100_000)
    assert (shown.width, shown.height) == (160, 320)
    data = base64.b64decode(shown.uri.partition(",")[2])
    assert data[:2] == b"\xff\xd8" and b"Exif" not in data
    cases = [diagnosis("case-1", ["psoriasis"], "melanoma")]
    text = page(joined(cases), Extras({"case-1": [shown]}, with_images=True))
    assert text.count(shown.uri) == 1 and text.count('href="#image-0-0"') == 2


def test_without_images_there_are_none(one):
    assert "data:image" not in one and "--images" in Parsed(one).text("cases")


def test_attention_has_a_slider_and_an_overlay_where_there_are_maps(one):
    assert 'id="attention"' not in one
    maps = AttentionMaps({"case-1": np.array([[0.0, 1.0], [0.5, 0.25]])})
    extras = Extras({"case-1": [Picture("data:image/jpeg;base64,", 8, 8)]}, with_images=True)
    text = page(joined(diagnoses(3), attention=maps), extras)
    assert 'id="attention"' in text and 'href="#attention-0-1"' in text
    assert text.count("data:image/png") == 1


def test_calibration_is_shown_where_it_is_known(one):
    assert 'id="calibration"' not in one
    share = {"value": 0.25, "low": 0.125, "high": 0.5, "n": 8, "groups": 8, "method": "m"}
    told = {
        "ECE": share,
        "bins": [{"confidence": 0.75, **share, "few": True}, {"confidence": 0.9, **share}],
        "risk coverage": {"coverage": [0.5, 1.0], "risk": [0.125, 0.75]},
        "without": 3,
    }
    found = Parsed(page(joined(diagnoses(3), metrics={"calibration": told})))
    text = found.text("calibration")
    assert "ECE 0.250 95 %: 0.125 to 0.500, n = 8†" in text and "not known 3" in text
    assert "75.0 %" in text and "90.0 %" in text


def test_two_runs_are_compared_on_what_both_have_and_it_is_said_at_the_top():
    text = page(joined(diagnoses(30), diagnoses(25, shift=5)))
    found = Parsed(text)
    assert "25 cases" in found.text("overview")
    assert "run 0: 5 of 30 answers are to cases that not all" in found.text("overview")
    before, after = diagnoses(25), diagnoses(25, shift=5)
    pairs = [(b.rank == 1, a.rank == 1) for b, a in zip(before, after, strict=True)]
    gained, lost = pairs.count((False, True)), pairs.count((True, False))
    assert f"first diagnosis right: {gained} gained, {lost} lost" in found.text("gains")
    assert gained and lost and "run 1 less run 0" in found.text("gains")


def test_where_charts_cannot_be_drawn_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygal", None)
    with pytest.raises(InputError, match=re.escape("pip install 'skinflow-jax[report]'")):
        page(joined(diagnoses(3)))
