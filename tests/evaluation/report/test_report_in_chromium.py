"""Claims about a report as people use it: driven in headless Chromium, where there is one."""

import numpy as np
import pytest
from chromium import AXE, CHROMIUM, NO_AXE, NO_CHROMIUM, browser, opened
from degraded_answers import told as told_degraded
from synthetic_answers import HOSTILE, captions, diagnoses, diagnosis, joined
from synthetic_gates import told as told_gates

from skinflow_jax.evaluation.report.attention import AttentionMaps
from skinflow_jax.evaluation.report.cases import cases_of
from skinflow_jax.evaluation.report.page import Extras, Made, page
from skinflow_jax.evaluation.report.pictures import pictures

pytestmark = pytest.mark.skipif(not CHROMIUM, reason=NO_CHROMIUM)

COUNT = 40
SECTIONS = (
    "overview",
    "ranks",
    "skin",
    "facts",
    "robustness",
    "confusion",
    "captions",
    "gates",
    "gains",
    "safety",
    "cases",
    "made",
)


@pytest.fixture(scope="module")
def chromium():
    with browser() as found:
        yield found


def two_runs():
    hostile = [diagnosis(f"hostile-{i}", text, "melanoma") for i, text in enumerate(HOSTILE)]
    before = diagnoses(COUNT) + captions(COUNT) + hostile
    after = diagnoses(COUNT, shift=5) + captions(COUNT) + hostile
    rng = np.random.default_rng(0)
    maps = AttentionMaps({f"case-{i}": rng.random((4, 4)) for i in range(COUNT)})
    beside = {"robustness": told_degraded(), "gates": told_gates()}
    return joined(before, after, attention=maps, **beside)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    image = np.linspace(0, 255, 64 * 64 * 3).astype(np.uint8).reshape(64, 64, 3)
    shown = {f"case-{i}": pictures([image], 5_000) for i in range(COUNT - 1)}
    made = [Made("run 0", [("ontology", "abc")], '{\n "seed": 7\n}')]
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page(two_runs(), Extras(shown, True, "Synthetic.", ["A note."], made)))
    return path


def visible(tab, list_):
    return tab.locator(f'[data-cards="{list_}"] > li:visible')


def test_every_section_shows_and_no_request_leaves_the_page(chromium, report):
    with opened(chromium, report) as (tab, heard):
        for name in SECTIONS:
            assert tab.locator(f"#{name}").is_visible(), name
        assert tab.locator("figure.chart svg .dot").count() == 2 * (6 + 6)
        tab.locator("#cases").scroll_into_view_if_needed()
        assert heard == []


def test_text_of_a_model_is_shown_and_does_nothing(chromium, report):
    with opened(chromium, report) as (tab, heard):
        assert tab.evaluate("window.hacked") is None and heard == []
        assert HOSTILE[0] in tab.locator("#cases").text_content()
        assert "\\u202eright to left" in tab.locator("#cases").text_content()


def test_filters_and_search_show_what_they_say(chromium, report):
    cases = cases_of(two_runs())
    with opened(chromium, report) as (tab, _):
        total = len(cases)
        status = tab.locator("#cases .count")
        assert status.inner_text() == f"{total} of {total} cases"
        tab.locator("#cases select[data-filter=outcome]").select_option("critical")
        critical = [c for c in cases if any("critical" in a.outcomes for a in c.answers)]
        assert visible(tab, "cases").count() == len(critical) < total
        tab.locator("#cases select[data-filter=run]").select_option("1")
        of_run = [c for c in cases if "critical" in c.answers[1].outcomes]
        assert visible(tab, "cases").count() == len(of_run) < len(critical)
        assert status.inner_text() == f"{len(of_run)} of {total} cases"
        tab.locator("#cases [data-reset]").click()
        tab.locator("#cases select[data-filter=skin]").select_option("2")
        assert visible(tab, "cases").count() == sum(c.skin_type == 2 for c in cases)
        tab.locator("#cases [data-reset]").click()
        tab.locator("#cases input[type=search]").fill("case-7")
        assert visible(tab, "cases").count() == 1
        tab.locator("#safety select[data-filter=outcome]").select_option("malignancy")
        missed = [c for c in cases if any("malignancy" in a.outcomes for a in c.answers)]
        assert visible(tab, "safety").count() == len(missed)


def test_a_link_to_a_case_that_is_filtered_away_shows_it(chromium, report):
    with opened(chromium, report) as (tab, _):
        tab.locator("#cases input[type=search]").fill("no such case")
        assert visible(tab, "cases").count() == 0
        link = tab.locator("#safety a").first
        link.click()
        assert tab.locator(link.get_attribute("href")).is_visible()


def test_the_keyboard_reaches_and_works_everything(chromium, report):
    with opened(chromium, report) as (tab, _):
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.className") == "skip"
        reached = set()
        for _ in range(60):
            tab.keyboard.press("Tab")
            reached.add(tab.evaluate("document.activeElement.id || document.activeElement.tagName"))
        assert {"theme", "A", "SUMMARY"} <= reached
        tab.locator("#theme").focus()
        before = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        tab.keyboard.press("Enter")
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") != before
        tab.locator("#overview summary").focus()
        tab.keyboard.press("Enter")
        assert tab.locator("#overview table").is_visible()
        tab.locator("#attention").focus()
        tab.keyboard.press("Home")
        overlay = tab.locator(".attention").first
        assert overlay.evaluate("e => getComputedStyle(e).opacity") == "0"
        outlined = tab.locator("#attention").evaluate("e => getComputedStyle(e).outlineStyle")
        assert outlined == "solid"


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_no_width_needs_scrolling_sideways(chromium, report, width):
    with opened(chromium, report, width=width) as (tab, _):
        tab.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_without_script_all_is_there_but_the_filters(chromium, report):
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(report.as_uri())
    assert visible(tab, "cases").count() == len(cases_of(two_runs()))
    assert not tab.locator("#cases .filters").is_visible()
    context.close()


def test_printed_it_is_whole_and_light(chromium, report):
    with opened(chromium, report, scheme="dark") as (tab, _):
        tab.emulate_media(media="print", color_scheme="dark")
        assert not tab.locator("header.bar").is_visible()
        colour = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert colour == "rgb(255, 255, 255)"
        assert tab.pdf().startswith(b"%PDF")


@pytest.mark.skipif(not AXE.is_file(), reason=NO_AXE)
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(chromium, report, scheme, width):
    with opened(chromium, report, scheme=scheme, width=width) as (tab, _):
        tab.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        # What is not painted yet has no contrast to look at.
        tab.evaluate(
            "for (const e of document.querySelectorAll('li')) e.style.contentVisibility = 'visible'"
        )
        tab.evaluate(AXE.read_text(encoding="utf-8"))
        found = tab.evaluate("axe.run(document, {resultTypes: ['violations']})")
        told = [(v["id"], n["html"][:200]) for v in found["violations"] for n in v["nodes"][:3]]
        assert told == []
