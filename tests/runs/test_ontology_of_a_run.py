"""Claims about which ontology a command goes by, and that a change of it does not pass unsaid."""

import re
from dataclasses import replace

import pytest
from small_state import small_state

from skinflow_jax.checkpoints.run_state import RunCheckpoints
from skinflow_jax.cli import main
from skinflow_jax.clinical import find, load_ontology, ontology, use, using
from skinflow_jax.config import ClinicalConfig, RunConfig, to_dict
from skinflow_jax.data.manifest import read_manifest, write_manifest
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.data.records import build_records
from skinflow_jax.data.sources.procedural import ProceduralSource
from skinflow_jax.errors import InputError
from skinflow_jax.runs.cases import use_ontology
from skinflow_jax.runs.facts import Origin, check_config, made_by
from skinflow_jax.runs.opening import use_stored_ontology

HEADER = (
    "name,synonyms,abbreviations,parents,answerable,nature,infection,contagious,urgency,"
    "first_step,partition,source,review\n"
)
LEAF = "leaf spot,,LS,{parents},yes,n/a,fungal,minor,soon,antifungal,fungi,own,{review}\n"
CONFIG = RunConfig()


@pytest.fixture(autouse=True)
def ours_again():
    with using(ontology()):
        yield


@pytest.fixture
def leaves(tmp_path):
    """`leaves.csv`, a whole ontology of one disease, and `more.csv`, which adds it to ours."""
    (tmp_path / "leaves.csv").write_text(HEADER + LEAF.format(parents="", review=""))
    added = LEAF.format(parents="skin disease", review="unreviewed")
    (tmp_path / "more.csv").write_text(HEADER + added)
    return tmp_path


def resumed(facts, config=CONFIG, workdir=None):
    return check_config(facts, config, workdir, ())


@pytest.fixture
def facts(tmp_path):
    return made_by(CONFIG, tmp_path, "data", Origin(None, None, "random"))


TOLD = "resume: the ontology is not that of before"


def test_a_run_resumed_under_another_ontology_says_so(facts, leaves):
    assert facts.ontology == ontology().digest and resumed(facts) == []
    for name in (leaves / "leaves.csv", f"+{leaves / 'more.csv'}"):
        with using(load_ontology(name)):
            assert resumed(facts) == [TOLD]


def test_the_file_may_move_or_be_reviewed_and_an_earlier_version_did_not_keep_it(facts, leaves):
    moved = leaves / "moved.csv"
    with using(load_ontology(leaves / "leaves.csv")):
        before = replace(facts, ontology=ontology().digest)
    moved.write_text(HEADER + LEAF.format(parents="", review="settled: by a clinician"))
    with using(load_ontology(moved)):
        config = replace(CONFIG, clinical=ClinicalConfig(ontology=str(moved)))
        (said,) = resumed(before, config)
        assert said.startswith("resume: clinical.ontology None -> ") and str(moved) in said
        assert resumed(replace(facts, ontology="")) == []


CONFIG_FILE = """
from ml_collections import ConfigDict

def get_config():
    data = {{"source": "procedural", "split": "rl", "count": 3, "options": {{"image_size": 56}}}}
    return ConfigDict({{"algorithm": "sft", "data": data, "clinical": {{"ontology": {}}}}})
"""


@pytest.mark.parametrize("way", ["a config file", "the command line"])
def test_a_file_that_adds_to_ours_is_named_by(way, leaves):
    more, config = f"+{leaves / 'more.csv'}", leaves / "mine.py"
    by_file = way == "a config file"
    config.write_text(CONFIG_FILE.format(repr(more) if by_file else None))
    flags = [] if by_file else [f"--config.clinical.ontology={more}"]
    build = ["data", "build", f"--config={config}", f"--out={leaves / 'records'}", *flags]
    assert main(build) == 0
    assert find("leaf spot") and find("melanoma")
    (folder,) = (leaves / "records").iterdir()
    assert read_manifest(folder).ontology == ontology().digest
    use_ontology(CONFIG)
    assert find("leaf spot") is None, "ours again where the next config names none"


@pytest.mark.parametrize("named", ["leaves.csv", "+more.csv", None])
def test_a_stored_run_is_asked_by_the_ontology_that_it_was_made_with(named, facts, leaves):
    if named:
        plus, name = re.fullmatch(r"(\+?)(.*)", named).groups()
        clinical = ClinicalConfig(ontology=f"{plus}{leaves / name}")
        facts = replace(facts, config=to_dict(replace(CONFIG, clinical=clinical)))
    workdir = leaves / "run"
    with RunCheckpoints(workdir / "checkpoints") as checkpoints:
        checkpoints.save(1, small_state(1), facts=facts.to_dict(), wait=True)
    use(load_ontology(leaves / "leaves.csv"))
    use_stored_ontology(workdir)
    assert (find("leaf spot") is not None) == bool(named)
    assert (find("melanoma") is not None) == (named != "leaves.csv")
    if named:
        (leaves / name).unlink()
        with pytest.raises(InputError, match=rf"{name}: No such file"):
            use_stored_ontology(workdir)


def test_a_hugging_face_folder_is_asked_by_ours(leaves):
    use(load_ontology(leaves / "leaves.csv"))
    use_stored_ontology(leaves)
    assert find("melanoma") and find("leaf spot") is None


@pytest.fixture
def records(tmp_path):
    source = ProceduralSource(split="rl", seed=0, count=3, image_size=56)
    build_records(source, tmp_path / "r", min_pixels=784, max_pixels=3136, fingerprint={})
    return tmp_path / "r"


@pytest.mark.parametrize("command", ["verify", "inspect", "export"])
def test_records_whose_diagnoses_another_ontology_named_say_so(command, records, leaves, capsys):
    kept = RecordSet(records)
    names = {kept.case(number).diagnosis for number in range(len(kept))}
    lacking = {"": None, f"--ontology={leaves / 'leaves.csv'}": len(names)}
    lacking[f"--ontology=+{leaves / 'more.csv'}"] = 0
    for flag, expected in lacking.items():
        out = [] if command == "verify" else [f"--out={leaves / f'out {expected}'}"]
        given = ["data", command, f"--records={records}", *out, *filter(None, [flag])]
        assert main(given) == 0
        said = [line for line in capsys.readouterr().out.splitlines() if "ontology" in line]
        assert len(said) == (flag != "")
        assert all(line.endswith(f"no row for {expected} of {len(names)}") for line in said)


def test_records_of_a_version_that_did_not_keep_the_ontology_say_nothing(records, leaves):
    before = replace(read_manifest(records), ontology="")
    write_manifest(before, records)
    with using(load_ontology(leaves / "leaves.csv")):
        assert read_manifest(records).other_ontology() == ""
        assert RecordSet(records).digest == before.digest


def test_a_config_that_goes_before_the_ontology_set_in_python_says_so(leaves, capsys):
    use_ontology(CONFIG)
    assert capsys.readouterr().out == ""
    with using(load_ontology(leaves / "leaves.csv")):
        use_ontology(CONFIG)
        assert "the one of the package, as the config names none" in capsys.readouterr().out
