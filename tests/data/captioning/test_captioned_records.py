"""Claims about `skinflow data caption`: its files, what a person revises, and a process killed."""

import asyncio
import json
import signal
import subprocess
from collections import Counter

import pytest
from killed_command import hangs, killed_after, started
from scripted_server import CAPTION, Reply, completion, is_text_only, well_behaved

from skinflow_jax.cli import main
from skinflow_jax.clinical import CLINICAL, load_schema
from skinflow_jax.data.captioning.written import read_captions, read_review
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.data.records import build_records
from skinflow_jax.endpoint.asking import to_the_end
from skinflow_jax.errors import InputError, StartAgain

KEY = "sk-secret-123"


@pytest.fixture(scope="module")
def records(shaded_source, tmp_path_factory):
    """Seven cases of as many diagnoses."""
    folder = tmp_path_factory.mktemp("records") / "set"
    sizes = {"min_pixels": 56 * 56, "max_pixels": 56 * 84}
    build_records(shaded_source(7), folder, fingerprint={}, **sizes)
    return folder


@pytest.fixture
def command(server, records, tmp_path, monkeypatch):
    monkeypatch.setenv("A_KEY", KEY)

    def arguments(*more, out="captions"):
        return [
            *("data", "caption", f"--records={records}", f"--out={tmp_path / out}"),
            *(f"--base-url={server.base_url}", "--model=seer", "--key-variable=A_KEY", *more),
        ]

    return arguments


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def right_for(diagnoses):
    """A script whose reader lists these for every caption."""
    return lambda body: (
        completion({"diagnoses": diagnoses}) if is_text_only(body) else completion(CAPTION)
    )


def test_captions_carry_where_they_come_from(server, command, records, tmp_path, capsys):
    server.script = right_for(["melanoma"])
    assert main(command()) == 0
    told = capsys.readouterr()
    assert "1 accepted, 0 by a person, 6 to review" in told.out
    assert "images go to 127.0.0.1: synthetic" in told.out
    out = tmp_path / "captions"
    found = read_captions(out / "captions.jsonl")
    assert list(found) == ["case-1"]
    caption = found["case-1"]
    assert caption.caption == CAPTION and RecordSet(records).case(1).diagnosis == "melanoma"
    assert (caption.model, caption.reader, caption.accepted) == ("seer", "seer", "model")
    assert (caption.attempts, caption.schema) == (1, CLINICAL.digest)
    assert {row["case_id"] for row in rows(out / "review.jsonl")} == {
        f"case-{i}" for i in (0, 2, 3, 4, 5, 6)
    }
    assert all(KEY.encode() not in path.read_bytes() for path in out.rglob("*.*"))
    assert KEY not in told.out + told.err


def test_what_a_person_revised_is_kept_for_good(server, command, tmp_path, capsys):
    server.script = right_for(["melanoma"])
    assert main(command()) == 0
    edited = tmp_path / "edited.jsonl"
    left = rows(tmp_path / "captions" / "review.jsonl")
    left[0] |= {"accept": True, "caption": {"colour": "erythematous"}}
    edited.write_text("".join(json.dumps(row) + "\n" for row in left))
    calls = len(server.bodies)
    for more in ([f"--review={edited}"], []):
        assert main(command(*more)) == 0
        assert "1 accepted, 1 by a person, 5 to review" in capsys.readouterr().out
        found = read_captions(tmp_path / "captions" / "captions.jsonl")
        assert list(found) == ["case-0", "case-1"] and found["case-0"].accepted == "person"
        assert found["case-0"].caption == {"colour": "red"}
        assert len(rows(tmp_path / "captions" / "review.jsonl")) == 5
    assert len(server.bodies) == calls


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"caption": {"colour": "octarine"}}, "line 1: caption field 'colour': unknown value"),
        ({"caption": {}}, "line 1: the caption is empty"),
        ({"case_id": "nobody"}, "case nobody is none of"),
        ({"diagnosis": "psoriasis"}, "is the review of other data"),
        ({"accept": "yes"}, "line 1: accept='yes' must be True or False"),
        ({"extra": 1}, "line 1: unknown key extra"),
    ],
)
def test_a_wrong_review_is_refused_by_its_line(server, command, tmp_path, capsys, change, problem):
    row = {"case_id": "case-0", "diagnosis": "acne", "caption": {"colour": "red"}, "accept": True}
    path = tmp_path / "edited.jsonl"
    path.write_text(json.dumps(row | change) + "\n")
    assert main(command(f"--review={path}")) == 2
    told = capsys.readouterr().err
    assert problem in told and told.count("\n") == 1


def test_a_review_in_its_own_place_is_refused_before_it_is_written_over(command, tmp_path, capsys):
    (tmp_path / "captions").mkdir()
    path = tmp_path / "captions" / "review.jsonl"
    path.write_text("")
    assert main(command(f"--review={path}")) == 2
    assert "would be written over" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "line 1: is no JSON object"),
        ("[]\n", "line 1: case_id is missing"),
        ('{"case_id": "a"}\n', "line 1: caption is missing"),
    ],
)
def test_a_damaged_file_of_captions_is_named(tmp_path, text, problem):
    path = tmp_path / "captions.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=f"captions.jsonl: {problem}"):
        read_captions(path)
    with pytest.raises(InputError, match="No such file"):
        read_review(tmp_path / "none.jsonl", CLINICAL)


def test_captions_of_another_schema_are_refused(server, command, tmp_path):
    server.script = right_for(["melanoma"])
    assert main(command()) == 0
    path = tmp_path / "captions" / "captions.jsonl"
    own = tmp_path / "mine.toml"
    own.write_text('[[field]]\nname = "itch"\n[field.values]\nyes = []\nno = []\n')
    with pytest.raises(InputError, match="line 1: this caption is of another schema"):
        read_captions(path, load_schema(own))


def test_a_schema_of_ones_own_is_asked_for(server, command, tmp_path):
    own = tmp_path / "mine.toml"
    own.write_text('[[field]]\nname = "tone"\n[field.values]\nlight = []\ndark = []\n')
    server.script = lambda body: completion(
        {"diagnoses": ["melanoma"]} if is_text_only(body) else {"tone": "dark"}
    )
    assert main(command(f"--schema={own}")) == 0
    found = read_captions(tmp_path / "captions" / "captions.jsonl", load_schema(own))
    assert found["case-1"].caption == {"tone": "dark"}


@pytest.mark.parametrize("name", ["", "sk-proj-SECRET", "SkSecretWithoutHyphen", "A KEY"])
def test_a_key_in_the_place_of_its_variables_name_is_not_shown(name, command, capsys):
    assert main(command(f"--key-variable={name}")) == 2
    told = capsys.readouterr().err
    assert "--key-variable" in told and (not name or name not in told)
    assert main(command(f"--api-key={name or 'x'}")) == 2
    told = capsys.readouterr().err
    assert "unknown argument --api-key" in told and (not name or name not in told)


@pytest.mark.parametrize("option", ["--model=", "--reader= ", "--model=a\nb", "--model=\udcff"])
def test_what_can_be_no_models_name_is_refused_before_a_call(option, server, command, capsys):
    assert main(command(option)) == 2
    assert "is no name of a model" in capsys.readouterr().err and not server.bodies


def test_lines_accepted_in_the_review_file_itself_are_not_written_over(
    server, command, tmp_path, capsys
):
    server.script = right_for(["melanoma"])
    assert main(command()) == 0
    path = tmp_path / "captions" / "review.jsonl"
    lines = rows(path)
    lines[0] |= {"accept": True, "caption": {"colour": "red"}}
    edited = "".join(json.dumps(row) + "\n" for row in lines)
    path.write_text(edited)
    capsys.readouterr()
    assert main(command()) == 2
    assert "1 lines are accepted there, first case-0" in capsys.readouterr().err
    assert path.read_text() == edited
    copy = tmp_path / "copy.jsonl"
    copy.write_text(edited)
    assert main(command(f"--review={copy}")) == 0
    assert "1 by a person" in capsys.readouterr().out


def test_a_review_of_other_cases_is_refused_before_a_call(server, command, tmp_path):
    row = {"case_id": "x", "diagnosis": "acne", "caption": {"colour": "red"}, "accept": True}
    (tmp_path / "edited.jsonl").write_text(json.dumps(row) + "\n")
    assert main(command(f"--review={tmp_path / 'edited.jsonl'}")) == 2 and not server.bodies


def test_captions_that_a_start_would_lose_are_kept(server, command, tmp_path, capsys):
    """Another model, and a budget that the first one has spent."""
    assert main(command()) == 0
    path, calls = tmp_path / "captions" / "captions.jsonl", len(server.bodies)
    before = path.read_bytes()
    assert main(command("--model=other", f"--max-calls={calls}")) == 2
    assert "holds 1 captions that this start has not" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_captions_of_another_diagnosis_are_not_joined(server, command, tmp_path):
    """Two data sets may have files of one name."""
    assert main(command()) == 0
    (row,) = rows(tmp_path / "captions" / "captions.jsonl")
    assert row["diagnosis"] == "acne"


def test_a_key_variable_that_is_named_must_be_set(command, monkeypatch, capsys):
    monkeypatch.delenv("A_KEY")
    assert main(command()) == 2
    assert "environment variable A_KEY is not set" in capsys.readouterr().err


def test_killed_and_started_again_it_asks_only_what_was_not_answered(
    server, command, tmp_path, records
):
    """SIGKILL while calls are on their way; the files are those of a run that nobody killed."""
    reader, journal = right_for(["melanoma"]), tmp_path / "captions" / "answers.jsonl"
    answered = killed_after(12, server, reader, command("--concurrency=2"), journal)
    assert not (tmp_path / "captions" / "captions.jsonl").exists()
    assert main(command()) == 0
    asked_again = Counter(map(json.dumps, server.bodies))
    # An attempt like an earlier one asks the same in the same words: count, do not compare.
    assert main(command(out="whole")) == 0
    whole = Counter(map(json.dumps, server.bodies)) - asked_again
    assert answered + asked_again == whole
    for name in ("captions.jsonl", "review.jsonl"):
        killed, never = (tmp_path / run / name for run in ("captions", "whole"))
        assert killed.read_bytes() == never.read_bytes()


def test_sigterm_ends_it_at_once_with_the_code_that_says_start_again(server, command):
    asked, reply = hangs()

    def hang(body):
        asked.set()
        return reply

    server.script = hang
    process = started(command(), stderr=subprocess.PIPE, text=True)
    assert asked.wait(180)
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 42 and told.count("\n") == 1
    assert "start it again: what is done is kept" in told


def test_a_signal_in_a_callback_of_the_loop_is_not_lost():
    def stop():
        raise StartAgain("SIGTERM: ended")

    async def work():
        asyncio.get_running_loop().call_soon(stop)
        await asyncio.sleep(60)

    with pytest.raises(StartAgain):
        to_the_end(work())


def test_a_command_without_an_answer_fails_once_its_files_are_written(
    server, command, tmp_path, capsys
):
    server.script = right_for(["melanoma"])
    assert main(command()) == 0
    files = [tmp_path / "captions" / f"{name}.jsonl" for name in ("captions", "review")]
    before = [path.read_bytes() for path in files]
    server.script = lambda body: Reply(400, "no such parameter")
    capsys.readouterr()
    assert main(command("--reader=other")) == 1
    told = capsys.readouterr().err
    assert "gave no case an answer" in told and "HTTP 400: no such parameter" in told
    assert told.count("\n") == 1
    assert main(command()) == 0, "all is known"
    assert [path.read_bytes() for path in files] == before


def test_a_budget_is_of_the_folder(server, command, capsys):
    assert main(command("--max-calls=3", "--concurrency=1")) == 0
    assert "cases are left: the budget is spent" in capsys.readouterr().out
    assert main(command("--max-calls=3")) == 0
    assert len(server.bodies) == 3
    server.script = well_behaved
