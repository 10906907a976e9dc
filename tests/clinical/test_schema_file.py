"""Claims about schemas in files: a user's replaces ours, a wrong one is told in a line."""

import pickle

import pytest

from skinflow_jax.clinical import CLINICAL, caption_reward, load_schema, parse_caption
from skinflow_jax.errors import InputError

OWN = """
[[field]]
name = "itch"
ordinal = true

[field.values]
none = ["no itch"]
mild = []
severe = ["strong"]

[[field]]
name = "spread"
many = true
measure = "mm"
limits = ["<= 30"]
neighbours = [["local", "wide"]]

[field.values]
local = []
wide = []

[[field]]
name = "place"

[field.children]
body = ["limb"]
limb = ["hand"]

[field.values]
body = []
limb = []
hand = ["palm"]
"""


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def own(tmp_path):
    return load_schema(written(tmp_path, OWN))


def test_a_schema_of_ones_own_is_used_for_parsing_scoring_and_writing(own):
    assert list(own.fields) == ["itch", "spread", "place"]
    assert own.canonical("itch", "Strong") == "severe"
    assert own.canonical("spread", "3 cm") == "local" and own.canonical("spread", "4cm") == "wide"
    assert own.score_field("itch", "mild", "severe") == 0.5
    assert own.score_field("itch", "none", "severe") == 0.0
    assert own.score_field("place", "palm", "body") == 0.25
    assert own.to_json({"place": "palm", "itch": "strong"}) == '{"itch": "severe", "place": "hand"}'
    text = '{"itch": "mild"}'
    assert parse_caption(text, own).fields == {"itch": ["mild"]}
    assert parse_caption(text).fields is None
    assert caption_reward(text, {"itch": "severe"}, own) == 0.5


def test_a_schema_goes_to_other_processes_and_its_digest_tells_it_from_others(own, tmp_path):
    assert pickle.loads(pickle.dumps(own)) == own
    assert own.digest == load_schema(written(tmp_path, "# a remark\n" + OWN)).digest
    for old, new in (
        ('["strong"]', '["bad"]'),
        ("<= 30", "< 30"),
        ("ordinal = true", "optional = true"),
        ('limb = ["hand"]', ""),
        ("many = true", ""),
    ):
        assert load_schema(written(tmp_path, OWN.replace(old, new))).digest != own.digest, new


def test_a_schema_that_extends_ours_keeps_our_fields_in_order(tmp_path):
    dermoscopy = load_schema("dermoscopy")
    assert list(dermoscopy.fields) == [*CLINICAL.fields, "dermoscopic_structures"]
    assert {name: dermoscopy.fields[name] for name in CLINICAL.fields} == CLINICAL.fields
    colours = '[[field]]\nname = "colour"\n[field.values]\nlight = []\ndark = []\n'
    own = load_schema(written(tmp_path, f'extends = "clinical"\n{colours}'))
    assert list(own.fields) == list(CLINICAL.fields)
    assert own.fields["colour"].values == ("light", "dark")


def test_what_the_documents_show_is_so():
    schema = load_schema("clinical")
    assert schema.to_json({"colour": "erythematous"}) == '{"colour": "red"}'
    assert caption_reward('{"colour": "pink"}', {"colour": "red"}, schema) == 0.5


def test_dermoscopic_structures_are_scored_as_a_set_with_near_misses():
    schema = load_schema("dermoscopy")
    truth = ["atypical pigment network", "blue-white veil"]
    assert schema.score_field("dermoscopic_structures", truth[::-1], truth) == 1.0
    near = ["typical network", "blue-whitish veil"]
    assert schema.score_field("dermoscopic_structures", near, truth) == 0.75


FIELD = '[[field]]\nname = "itch"\n'
VALUES = "[field.values]\nyes = []\nno = []\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[field]\n", "is no TOML in UTF-8"),
        ("", r"has no \[\[field\]\]"),
        ('field = "x"', r"has no \[\[field\]\]"),
        ("field = [3]", "field 1: is no table"),
        ("fields = []\n" + FIELD + VALUES, "unknown key 'fields'"),
        ('extends = "x"\n' + FIELD + VALUES, "extends='x': choose one of clinical, dermoscopy"),
        (FIELD, "field 'itch': values is missing"),
        ("[[field]]\n" + VALUES, "field 1: name is missing"),
        (FIELD + VALUES + FIELD + VALUES, "'itch' is there twice"),
        (FIELD + "mnay = true\n" + VALUES, "mnay"),
        (FIELD + 'many = "yes"\n' + VALUES, "field 'itch': many='yes' must be True or False"),
        ('[[field]]\nname = "Itch!"\n' + VALUES, "name='Itch!' must be lower-case"),
        (FIELD + "[field.values]\nyes = []\n", "two or more"),
        (FIELD + "[field.values]\nyes = [3]\nno = []\n", "yes=3 must be text"),
        (FIELD + '[field.values]\nyes = ["No."]\nno = []\n', "stands for 'yes' and for 'no'"),
        (FIELD + '[field.values]\nyes = ["?!"]\nno = []\n', "must be a word or phrase"),
        (FIELD + '[field.values]\nyes = ["like melanoma"]\nno = []\n', "names a disease"),
        (FIELD + 'neighbours = [["yes", "maybe"]]\n' + VALUES, "'maybe' is none of the values"),
        (FIELD + 'neighbours = [["yes"]]\n' + VALUES, "must be 2 or more values"),
        (FIELD + 'measure = "inch"\n' + VALUES, "choose one of mm, count"),
        (FIELD + 'measure = "mm"\n' + VALUES, "one fewer than the values"),
        (FIELD + 'measure = "mm"\nlimits = ["5"]\n' + VALUES, "must be like '< 5'"),
        (FIELD + '[field.children]\nyes = ["maybe"]\n' + VALUES, "'maybe' is none of the values"),
        (FIELD + '[field.children]\nyes = ["no"]\nno = ["yes"]\n' + VALUES, "lies within itself"),
    ],
)
def test_a_wrong_schema_is_refused_in_one_line_that_names_file_and_field(text, problem, tmp_path):
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=problem) as found:
        load_schema(path)
    assert str(path) in str(found.value) and "\n" not in str(found.value)


def test_a_schema_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(InputError, match=r"No such file.*clinical, dermoscopy"):
        load_schema(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"\xe9 = 1")
    with pytest.raises(InputError, match="is no TOML in UTF-8"):
        load_schema(tmp_path / "latin.toml")
