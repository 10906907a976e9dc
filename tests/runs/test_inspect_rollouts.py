"""`skinflow inspect --rollouts` shows what a model wrote and was paid, in a terminal or a page."""

import json
import re
from html.parser import HTMLParser

import pytest

from skinflow_jax.cli import main
from skinflow_jax.data.pipeline import example_of
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.data.records import build_records
from skinflow_jax.data.sources import ProceduralSource
from skinflow_jax.runs.rollouts_view import ranges

HOSTILE = (
    '<script>alert(1)</script> [bold]red[/] \x1b[2J \u202etxet \ud83d \x00 & "q"\nsecond :smile:'
)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    source = ProceduralSource(split="rl", seed=0, count=3, image_size=56)
    folder = tmp_path_factory.mktemp("records")
    build_records(source, folder / "drawn", min_pixels=56 * 56, max_pixels=56 * 56, fingerprint={})
    return folder


def rows_of(records):
    """Two groups of two completions in step 1, and one in step 2."""
    drawn = RecordSet(records / "drawn")
    cases = [drawn.case(number) for number in range(3)]
    for step, group, advantages in ((1, 0, (0.5, -0.5)), (1, 1, (1.5, -1.5)), (2, 0, (0.1, 0.2))):
        case = cases[group + step - 1]
        for place, advantage in enumerate(advantages):
            yield {
                "step": step,
                "case_id": case.case_id,
                "task": "diagnosis",
                "group": group,
                "reference": example_of(case, "diagnosis", ()).reference,
                "completion": f"answer {step}.{group}.{place}",
                "tokens": 10 * step - place,
                "rewards": {"diagnosis": advantage + 1, "form": 0.25},
                "reward": advantage + 1.25,
                "advantage": advantage,
            }


@pytest.fixture
def workdir(tmp_path, records):
    write(tmp_path, rows_of(records))
    (tmp_path / "records").symlink_to(records)
    return tmp_path


def write(workdir, rows, end=""):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (workdir / "rollouts.jsonl").write_text(text + end)


def inspected(capsys, workdir, *options):
    assert main(["inspect", f"--checkpoint={workdir}", "--rollouts", *options]) == 0
    return capsys.readouterr().out


def order(text):
    return re.findall(r"answer (\d\.\d\.\d)", text)


def test_the_newest_groups_come_first_with_all_that_is_known_of_them(workdir, records, capsys):
    out = inspected(capsys, workdir)
    assert order(out) == ["2.0.0", "2.0.1", "1.1.0", "1.1.1", "1.0.0", "1.0.1"]
    first = next(rows_of(records))
    block = out[out.index(first["case_id"]) :]
    assert f"reference: {first['reference']}" in block and "56 × 56 pixels" in block
    assert "prompt: Name the six most likely diagnoses" in block and "<image>" not in out
    assert "+0.500  diagnosis 1.500, form 0.250, in all 1.750, 10 tokens" in block
    assert "3 of 3 groups of steps 1-2" in out


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("advantage", ["1.1.0", "1.1.1", "1.0.0", "1.0.1", "2.0.1", "2.0.0"]),
        ("reward", ["1.1.0", "1.1.1", "1.0.0", "1.0.1", "2.0.1", "2.0.0"]),
        ("length", ["2.0.0", "2.0.1", "1.1.0", "1.1.1", "1.0.0", "1.0.1"]),
    ],
)
def test_groups_and_completions_are_sorted_the_highest_first(workdir, capsys, sort, expected):
    assert order(inspected(capsys, workdir, f"--sort={sort}")) == expected


@pytest.mark.parametrize(("reward", "told"), [(1.0, False), (0.5, True)])
def test_a_sum_is_told_where_it_is_not_the_only_part(workdir, records, capsys, reward, told):
    write(workdir, [next(rows_of(records)) | {"rewards": {"diagnosis": 1.0}, "reward": reward}])
    assert ("in all 0.500" in inspected(capsys, workdir)) == told
    _, page = page_of(capsys, workdir)
    assert ("In all" in page.text) == told


def test_a_step_and_a_limit_are_kept_to_and_the_rest_is_counted(workdir, capsys):
    out = inspected(capsys, workdir, "--step=1", "--limit=1", "--task=diagnosis")
    assert order(out) == ["1.1.0", "1.1.1"]
    assert "1 of 2 groups of step 1; --limit=N shows more" in out


@pytest.mark.parametrize(
    ("option", "answer"),
    [
        ("--step=7", "has no step 7: it has steps 1-2"),
        ("--task=caption", "has no rollout of task caption: it has diagnosis"),
        ("--out=page.txt", "must end in .html"),
        ("--out=absent/page.html", "make its folder first"),
        ("--records=absent", "absent holds no records"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(workdir, capsys, monkeypatch, option, answer):
    monkeypatch.chdir(workdir)
    assert main(["inspect", f"--checkpoint={workdir}", "--rollouts", option]) == 2
    error = capsys.readouterr().err
    assert answer in error and error.count("\n") == 1


def test_options_of_rollouts_without_it_are_refused(workdir, capsys):
    assert main(["inspect", f"--checkpoint={workdir}", "--sort=reward"]) == 2
    assert "--sort belongs to --rollouts" in capsys.readouterr().err


def test_without_records_it_says_that_images_and_prompts_are_missing(workdir, capsys):
    (workdir / "records").unlink()
    out = inspected(capsys, workdir)
    assert len(order(out)) == 6 and "no images, no prompts" in out and "--records" in out


def test_records_of_other_data_are_told_and_their_images_not_shown(workdir, records, capsys):
    rows = [row | {"reference": "another"} for row in rows_of(records)]
    write(workdir, rows)
    out = inspected(capsys, workdir)
    assert "3 of these groups have no image" in out and "pixels" not in out
    assert "reference: another" in out


def test_a_cut_off_line_is_told_beside_what_is_whole(workdir, records, capsys):
    write(workdir, rows_of(records), end='{"step": 3, "case')
    out = inspected(capsys, workdir)
    assert len(order(out)) == 6 and "line 7 is cut off" in out


def test_a_terminal_shows_hostile_text_as_written(workdir, records, capsys):
    first = next(rows_of(records))
    write(workdir, [first | {"completion": HOSTILE, "case_id": HOSTILE, "task": "diagnosis"}])
    out = inspected(capsys, workdir)
    assert r"\x1b[2J" in out and r"\u202etxet" in out and "[bold]red[/]" in out
    assert not set(out) & {"\x1b", "\u202e", "\x00", "\ud83d"}


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]

    def handle_data(self, data):
        self.text += data


def page_of(capsys, workdir, *options):
    told = inspected(capsys, workdir, f"--out={workdir / 'page.html'}", *options)
    return told, Page((workdir / "page.html").read_text(encoding="utf-8"))


def test_the_page_has_images_prompts_references_rewards_and_completions(workdir, records, capsys):
    told, page = page_of(capsys, workdir, "--sort=advantage")
    assert order(page.text) == ["1.1.0", "1.1.1", "1.0.0", "1.0.1", "2.0.1", "2.0.0"]
    assert page.tags.count("img") == 3 and "it holds 3 images of the data" in told
    assert next(rows_of(records))["reference"] in page.text
    assert "Name the six" in page.text and "1.750" in page.text and "-1.500" in page.text


def test_the_page_asks_nothing_of_any_network_and_forbids_scripts(workdir, capsys):
    _, page = page_of(capsys, workdir)
    assert not {"script", "link", "iframe", "a", "form", "object"} & set(page.tags)
    addresses = [v for _, name, v in page.attributes if name in ("src", "href", "srcset")]
    assert all(value.startswith("data:image/jpeg;base64,") for value in addresses)
    (policy,) = [v for _, n, v in page.attributes if n == "content" and "default-src" in v]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "style" not in [name for _, name, _ in page.attributes]  # the policy would drop it


def test_the_page_shows_hostile_text_as_written_and_runs_none(workdir, records, capsys):
    first = next(rows_of(records))
    hostile = {"completion": HOSTILE, "case_id": HOSTILE, "reference": HOSTILE}
    write(workdir, [first | hostile | {"rewards": {HOSTILE: 1.0}}])
    _, page = page_of(capsys, workdir)
    assert "script" not in page.tags and "<script>alert(1)</script>" in page.text
    assert r"\x1b[2J \u202etxet \ud83d \x00" in page.text
    assert not set(page.text) & {"\x1b", "\u202e", "\x00"}


def test_an_output_of_many_megabytes_is_cut_and_the_rest_counted(workdir, records, capsys):
    first = next(rows_of(records))
    write(workdir, [first | {"completion": "x" * 10_000_000}])
    assert "… (9,999,000 more characters)" in " ".join(inspected(capsys, workdir).split())
    _, page = page_of(capsys, workdir)
    assert "… (9,980,000 more characters)" in page.text and len(page.text) < 40_000


def test_steps_are_told_by_ranges():
    assert ranges([7]) == "step 7"
    assert ranges([3, 1, 2, 5]) == "steps 1-3, 5"
    assert ranges(range(0, 100, 2)).count(",") == 11
