"""Claims about captions from an endpoint that misbehaves: what is kept, counted, paid, and told."""

import asyncio
import dataclasses
import json
import threading
import time
from email.utils import formatdate

import numpy as np
import pytest
from scripted_server import CAPTION, Reply, completion, is_text_only, prompt_of, well_behaved

from skinflow_jax.clinical import CLINICAL
from skinflow_jax.clinical.schema_file import parse_schema
from skinflow_jax.data.captioning.attempts import Rule, checked
from skinflow_jax.data.captioning.run import caption_subjects
from skinflow_jax.data.captioning.subjects import Subject
from skinflow_jax.data.captioning.written import read_review
from skinflow_jax.endpoint.client import Endpoint, Patience
from skinflow_jax.endpoint.journal import Answer, Budget, Journal
from skinflow_jax.errors import InputError

KEY = "sk-a/secret-123"
QUICK = Patience(timeout=60.0, tries=4, first_wait=0.01, longest_wait=0.02)


def subjects(count, diagnosis="acne"):
    return [
        Subject(f"case-{i}", (np.full((8, 9, 3), i, np.uint8),), diagnosis) for i in range(count)
    ]


def captioned(server, folder, count=1, *, patience=QUICK, budget=None, key=KEY, **more):
    diagnosis = more.pop("diagnosis", "acne")
    rule = Rule("seer", "reader", CLINICAL, **more.pop("rule", {}))

    async def work(journal):
        async with Endpoint(server.base_url, key, "THE_KEY", patience) as endpoint:
            return await caption_subjects(
                subjects(count, diagnosis), rule, endpoint, journal, **more
            )

    with Journal(folder / "answers.jsonl", budget or Budget()) as journal:
        return asyncio.run(work(journal))


def once(server, *first):
    """The script gives each of `first` once, in order, and then behaves."""
    left = list(first)
    server.script = lambda body: left.pop(0) if left else well_behaved(body)


def test_a_caption_is_kept_when_its_diagnosis_is_found_from_the_text_alone(server, tmp_path):
    report = captioned(server, tmp_path)
    outcome = report.outcomes["case-0"]
    assert outcome.accepted and outcome.attempts == 1
    assert outcome.fields == {"lesion_type": ["papule"], "colour": ["red"]}
    asked, read = server.bodies
    assert (asked["model"], read["model"]) == ("seer", "reader")
    assert server.paths == ["/v1/chat/completions"] * 2
    image, text = asked["messages"][0]["content"]
    assert image["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert "acne" in text["text"] and all(name in text["text"] for name in CLINICAL.fields)
    assert is_text_only(read) and "acne" not in prompt_of(read)
    assert json.dumps(CAPTION) in prompt_of(read)


def test_a_caption_is_given_up_after_five_attempts(server, tmp_path):
    server.script = lambda body: completion(
        {"diagnoses": ["psoriasis"]} if is_text_only(body) else CAPTION
    )
    outcome = captioned(server, tmp_path).outcomes["case-0"]
    assert not outcome.accepted and outcome.attempts == 5
    assert outcome.refusals == {"diagnosis not recovered": 5}
    assert outcome.fields["colour"] == ["red"] and len(server.bodies) == 10


def test_the_reader_must_name_the_diagnosis_first_unless_the_rule_is_wider(server, tmp_path):
    server.script = lambda body: completion(
        {"diagnoses": ["psoriasis", "acne"]} if is_text_only(body) else CAPTION
    )
    assert not captioned(server, tmp_path).outcomes["case-0"].accepted
    wider = captioned(server, tmp_path, rule={"within": 2})
    assert wider.outcomes["case-0"].accepted


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (completion("I am sorry"), "not a caption"),
        (completion('{"colour": "red", "flavour": "sweet"}'), "not a caption"),
        (completion('{"colour": 3}'), "not a caption"),
        (completion('{"colour": "octarine"}'), "value outside the schema"),
        (completion('{"colour": "red as in psoriasis"}'), "disease named"),
        (completion('{"colour": "acne"}'), "disease named"),
        (completion('{"colour": "re', finish="length"), "half an answer"),
        (completion(""), "empty answer"),
        (completion("{}"), "empty answer"),
        (completion([{"type": "text", "text": "no"}]), "not a caption"),
    ],
)
def test_nonsense_costs_an_attempt_and_is_counted(server, tmp_path, bad, kind):
    once(server, bad)
    outcome = captioned(server, tmp_path).outcomes["case-0"]
    assert outcome.accepted and outcome.attempts == 2
    assert outcome.refusals == {kind: 1}
    assert "An earlier description was not taken" in prompt_of(server.bodies[1])


def test_a_diagnosis_that_the_ontology_does_not_know_is_not_named_either(server, tmp_path):
    server.script = lambda body: completion({"diagnoses": ["x"], "colour": ["red", "zorbitis"]})
    server.script = lambda body: completion({"colour": ["red", "zorbitis"]})
    outcome = captioned(server, tmp_path, diagnosis="Zorbitis").outcomes["case-0"]
    assert outcome.refusals == {"disease named": 5}


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (Reply(500, "oh"), "HTTP 500"),
        (Reply(503), "HTTP 503"),
        (Reply(429, "slow down"), "HTTP 429"),
        (Reply(200, completion(CAPTION), drop=True), "half a reply"),
        (Reply(200, "<html>proxy</html>"), "a reply that is no completion"),
        (Reply(200, "[]"), "a reply that is no completion"),
        (Reply(200, '{"choices": []}'), "a reply that is no completion"),
        (Reply(200, '{"choices": [{"message": {"content": 3}}]}'), "a reply that is no completion"),
        (Reply(200, "[" * 100_000), "a reply that is no completion"),
        (Reply(200, "x" * 5_000_000), "a reply without end"),
    ],
)
def test_a_call_that_fails_is_made_again_and_counted(server, tmp_path, bad, kind):
    once(server, bad)
    report = captioned(server, tmp_path)
    assert report.outcomes["case-0"].accepted and report.outcomes["case-0"].attempts == 1
    assert report.failures == {kind: 1}
    assert report.calls == len(server.bodies) == 3


def test_a_time_out_is_tried_again(server, tmp_path):
    late = threading.Event()
    once(server, Reply(body=completion(CAPTION), before=late))
    patience = Patience(timeout=2.0, tries=20, first_wait=0.01)
    report = captioned(server, tmp_path, patience=patience)
    late.set()
    assert report.outcomes["case-0"].accepted and set(report.failures) == {"time-out"}


@pytest.mark.parametrize("dated", [False, True])
def test_retry_after_is_honoured_by_all(server, tmp_path, dated):
    arrivals = []
    text = formatdate(time.time() + 2, usegmt=True) if dated else "1"

    def script(body):
        arrivals.append(time.monotonic())
        if len(arrivals) == 1:
            return Reply(429, headers={"Retry-After": text})
        return well_behaved(body)

    server.script = script
    before = time.monotonic()
    report = captioned(server, tmp_path, 2, concurrency=1)
    assert len(report.outcomes) == 2 and report.failures == {"HTTP 429": 1}
    # A date has whole seconds.
    assert arrivals[1] - before >= (0.9 if dated else 1.0)


def test_an_endpoint_that_asks_to_wait_for_hours_is_asked_no_more(server, tmp_path):
    once(server, Reply(429, headers={"Retry-After": "7200"}))
    report = captioned(server, tmp_path, 3, concurrency=1)
    assert set(report.unanswered.values()) == {"HTTP 429: it asks to wait 7,200 s"}
    assert len(report.unanswered) == 3 and len(server.bodies) == 1


def test_an_endpoint_that_answers_nobody_is_given_up_and_what_is_known_is_reported(
    server, tmp_path
):
    captioned(server, tmp_path, 1)
    server.bodies.clear()
    server.script = lambda body: Reply(500, "maintenance")
    report = captioned(server, tmp_path, 30, concurrency=1)
    assert list(report.outcomes) == ["case-0"] and len(report.unanswered) == 29
    assert len(server.bodies) == 5 * QUICK.tries
    server.shutdown()
    server.server_close()
    report = captioned(server, tmp_path, 2)
    assert "no connection" in report.unanswered["case-1"]


def test_one_case_that_is_never_answered_does_not_stop_the_others(server, tmp_path):
    seen = []

    def script(body):
        if is_text_only(body):
            return well_behaved(body)
        url = body["messages"][0]["content"][0]["image_url"]["url"]
        seen.extend([url] if url not in seen else [])
        return Reply(500) if len(seen) > 1 and url == seen[1] else well_behaved(body)

    server.script = script
    report = captioned(server, tmp_path, 4, concurrency=2)
    assert len(report.unanswered) == 1 and len(report.outcomes) == 3
    assert "HTTP 500" in report.summary() and "start again" in report.summary()


def test_a_refused_image_concerns_its_case_alone(server, tmp_path):
    once(server, completion(CAPTION), completion({"diagnoses": ["acne"]}), Reply(400, "policy"))
    report = captioned(server, tmp_path, 3, concurrency=1)
    assert report.outcomes["case-1"].reason == "the endpoint refuses it: HTTP 400: policy"
    assert not report.unanswered and report.refused == 1 and len(report.outcomes) == 3


def test_refused_images_at_the_head_do_not_keep_the_others_from_being_asked(server, tmp_path):
    once(server, *[Reply(400, "policy")] * 8)
    report = captioned(server, tmp_path, 20, concurrency=1)
    assert report.refused == 8 and sum(o.accepted for o in report.outcomes.values()) == 12
    server.script = lambda body: Reply(413)
    (tmp_path / "other").mkdir()
    report = captioned(server, tmp_path / "other", 40, concurrency=1)
    assert report.refused == 20 and len(report.unanswered) == 20, "it refuses everything"


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, r"check the key in THE_KEY"),
        (403, r"check the key in THE_KEY"),
        (404, r"check --base-url and --model"),
        (302, r"check --base-url and --model"),
    ],
)
def test_a_wrong_key_address_or_model_ends_the_command_at_once(server, tmp_path, status, told):
    server.script = lambda body: Reply(status, f"bad key {KEY}", {"Location": "http://x/"})
    with pytest.raises(InputError, match=f"HTTP {status}.*{told}") as found:
        captioned(server, tmp_path, 3, concurrency=1)
    assert len(server.bodies) == 1
    assert KEY not in str(found.value) and "[key]" in str(found.value)


def test_an_answer_is_never_paid_for_twice(server, tmp_path):
    first = captioned(server, tmp_path, 3)
    server.script = lambda body: Reply(500)
    again = captioned(server, tmp_path, 3)
    assert again.outcomes == first.outcomes
    assert (again.calls, again.tokens) == (first.calls, first.tokens) == (4, 400)
    # All three captions are the same text: its reader is asked once, by whoever comes first.
    assert len(server.bodies) == 4


def test_another_image_model_or_schema_is_another_question(server, tmp_path):
    captioned(server, tmp_path, 1)
    captioned(server, tmp_path, 2)  # case-0 is known; the caption of both is the same text
    assert len(server.bodies) == 3


def test_several_cases_are_asked_about_at_a_time(server, tmp_path):
    gate = threading.Barrier(4, timeout=20)

    def script(body):
        if not is_text_only(body):
            gate.wait()
        return well_behaved(body)

    server.script = script
    report = captioned(server, tmp_path, 8, concurrency=4)
    assert len(report.outcomes) == 8 and server.most_at_once == 4


def test_no_more_calls_are_sent_than_the_budget_has(server, tmp_path):
    report = captioned(server, tmp_path, 5, budget=Budget(calls=4), concurrency=1)
    # Two calls for the first, then one a case: the caption's text is the same, so its reader's too.
    assert len(server.bodies) == report.calls == 4
    assert len(report.outcomes) == 3 and report.left == 2
    assert "2 cases are left" in report.summary()
    more = captioned(server, tmp_path, 5, budget=Budget(calls=5), concurrency=1)
    assert len(server.bodies) == more.calls == 5 and len(more.outcomes) == 4
    whole = captioned(server, tmp_path, 5, concurrency=1)
    assert len(whole.outcomes) == 5 and whole.left == 0


def test_failed_calls_count_against_the_budget(server, tmp_path):
    once(server, Reply(500), Reply(500), Reply(500))
    report = captioned(server, tmp_path, 2, budget=Budget(calls=4), concurrency=1)
    assert len(server.bodies) == report.calls == 4 and not report.outcomes


@pytest.mark.parametrize("concurrency", [1, 6])
def test_no_more_tokens_are_spent_than_the_budget_has(server, tmp_path, concurrency):
    server.script = lambda body: completion(
        {"diagnoses": ["acne"]} if is_text_only(body) else CAPTION, tokens=900
    )
    budget = Budget(tokens=10_000)
    report = captioned(server, tmp_path, 40, budget=budget, concurrency=concurrency)
    assert 5_000 < report.tokens <= 10_000 and report.left
    again = captioned(server, tmp_path, 40, budget=budget, concurrency=concurrency)
    assert again.tokens <= 10_000


def test_a_server_that_tells_no_tokens_is_charged_an_estimate(server, tmp_path):
    def script(body):
        reply = json.loads(well_behaved(body))
        del reply["usage"]
        return json.dumps(reply)

    server.script = script
    assert captioned(server, tmp_path).tokens > 2_000


def test_the_key_is_in_the_request_and_nowhere_else(server, tmp_path, capfd):
    once(server, completion(f"your key is {KEY}"), Reply(500, KEY))
    report = captioned(server, tmp_path)
    assert {h["Authorization"] for h in server.headers_seen} == {f"Bearer {KEY}"}
    assert KEY not in report.summary() + repr(report)
    assert not any(KEY.encode() in file.read_bytes() for file in tmp_path.rglob("*.*"))
    assert KEY not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "written", [KEY, json.dumps(KEY)[1:-1], KEY.replace("-", r"\u002D"), KEY.replace("/", r"\/")]
)
def test_an_escaped_key_is_not_kept_either(written, server, tmp_path):
    once(server, completion(f"bad {written}"), Reply(500, f"bad {written}"))
    report = captioned(server, tmp_path)
    kept = report.summary() + (tmp_path / "answers.jsonl").read_text()
    assert written not in kept and "[key]" in kept


@pytest.mark.parametrize("key", ["no", "red", "EMPTY"])
def test_a_key_that_is_a_word_leaves_answers_as_they_are(key, server, tmp_path):
    once(server, completion({"lesion_type": "nodule", "colour": "red"}))
    report = captioned(server, tmp_path, key=key)
    assert report.outcomes["case-0"].fields == {"lesion_type": ["nodule"], "colour": ["red"]}


@pytest.mark.parametrize(
    "stated", ["abc", -5, 0, True, 1e999, 10**27, 1.5, [1], {"total_tokens": "x"}]
)
def test_tokens_that_cannot_be_are_estimated_and_the_answer_is_kept(stated, server, tmp_path):
    def script(body):
        reply = json.loads(well_behaved(body))
        reply["usage"] = stated if isinstance(stated, list | dict) else {"total_tokens": stated}
        return json.dumps(reply)

    server.script = script
    report = captioned(server, tmp_path)
    assert report.outcomes["case-0"].accepted and report.calls == 2
    assert 1_000 < report.tokens < 100_000


@pytest.mark.parametrize("asked", ["0", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_retry_after_in_the_past_is_waited_for_as_if_none_were_told(asked, server, tmp_path):
    waits = []
    patience = dataclasses.replace(QUICK, first_wait=0.0, longest_wait=0.0)
    object.__setattr__(patience, "wait", lambda tried: waits.append(tried) or 0.0)
    once(server, *[Reply(429, "", {"Retry-After": asked})] * 2)
    assert captioned(server, tmp_path, patience=patience).outcomes["case-0"].accepted
    assert waits == [1, 2]


@pytest.mark.parametrize("proxy", ["socks9://u:hidden@localhost:9", "foo://u:hidden@localhost"])
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(proxy, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(InputError, match="a proxy or certificate of the environment") as found:
        Endpoint("https://example.org/v1", None, "THE_KEY")
    assert "hidden" not in str(found.value)


def test_a_synonym_does_not_tell_the_diagnosis(server, tmp_path):
    """The reader is shown canonical values."""
    own = '[[field]]\nname = "look"\n[field.values]\nzorbitis = ["zorb"]\nplain = []\n'
    schema = parse_schema(own, "mine.toml")
    with pytest.raises(Exception, match="names the diagnosis"):
        checked(Answer('{"look": "zorb"}', 1), schema, "Zorbitis")
    path = tmp_path / "review.jsonl"
    row = {"case_id": "a", "diagnosis": "Zorbitis", "caption": {"look": "zorb"}, "accept": True}
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match="line 1: 'look' names the diagnosis"):
        read_review(path, schema)


def test_without_a_key_none_is_sent(server, tmp_path):
    assert captioned(server, tmp_path, key=None).outcomes
    assert not any("Authorization" in headers for headers in server.headers_seen)


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "schlüssel"])
def test_what_is_no_key_is_refused_without_being_shown(key):
    with pytest.raises(InputError, match="THE_KEY: is no key") as found:
        Endpoint("http://localhost/v1", key, "THE_KEY")
    assert not key or key not in str(found.value)


@pytest.mark.parametrize(
    "address",
    ["", "localhost:8000/v1", "ftp://x/v1", "http://", "https://me:pw@x/v1", "https://x/v1?key=pw"],
)
def test_a_wrong_address_is_refused_without_its_password(address):
    with pytest.raises(InputError, match="--base-url") as found:
        Endpoint(address, None, "THE_KEY")
    assert "pw" not in str(found.value)


def test_a_key_over_plain_http_is_told():
    assert Endpoint("http://example.org/v1", "k", "K").sends_key_in_clear
    assert not Endpoint("http://localhost:1/v1", "k", "K").sends_key_in_clear
    assert not Endpoint("http://example.org/v1", None, "K").sends_key_in_clear


def test_two_commands_do_not_write_one_folder(tmp_path):
    path = tmp_path / "answers.jsonl"
    with (
        Journal(path, Budget()),
        pytest.raises(InputError, match="another process writes it"),
    ):
        Journal(path, Budget())


def test_a_line_cut_short_is_dropped_and_a_damaged_one_is_named(server, tmp_path):
    captioned(server, tmp_path, 1)
    path = tmp_path / "answers.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])  # of the last answer: its call stays counted
    report = captioned(server, tmp_path, 1)
    assert report.outcomes["case-0"].accepted and report.calls == len(server.bodies) == 4 - 1
    path.write_bytes(b"garbage\n" + whole)
    with pytest.raises(InputError, match=r"answers.jsonl: line 1 is damaged"):
        captioned(server, tmp_path, 1)


def test_a_whole_last_line_without_its_end_is_not_paid_for_again(server, tmp_path):
    captioned(server, tmp_path, 1)
    path = tmp_path / "answers.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    for _ in range(2):  # of the second case only its own description is asked for
        assert captioned(server, tmp_path, 2).calls == 3 == len(server.bodies)


@pytest.mark.parametrize(
    "line",
    [
        {"key": "a", "text": 5, "tokens": 1, "whole": True},
        {"key": "a", "text": None, "tokens": 1, "whole": True},
        {"key": "a", "text": "", "tokens": -1, "whole": True},
        {"key": "a", "text": "", "tokens": 1e999, "whole": True},
        {"key": "a", "text": "", "tokens": 1, "whole": "no"},
        {"sent": "a", "expected": -(10**9)},
        {"sent": 1, "expected": 1},
        [],
    ],
)
def test_an_entry_that_no_program_wrote_is_named(line, tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps(line) + "\n")
    with pytest.raises(InputError, match="line 1 is damaged"):
        Journal(path, Budget())
    path.write_text("[" * 100_000 + "\n")
    with pytest.raises(InputError, match="line 1 is damaged"):
        Journal(path, Budget())


def test_an_id_that_comes_twice_is_refused(server, tmp_path):
    rule = Rule("seer", "reader", CLINICAL)

    async def work(journal):
        async with Endpoint(server.base_url, None, "K", QUICK) as endpoint:
            await caption_subjects(subjects(1) * 2, rule, endpoint, journal, concurrency=1)

    with (
        Journal(tmp_path / "answers.jsonl", Budget()) as journal,
        pytest.raises(InputError, match="case case-0 is there twice"),
    ):
        asyncio.run(work(journal))
