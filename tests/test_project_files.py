"""What stands at the project's root agrees with itself."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(name):
    lines = (ROOT / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_the_citation_names_the_version_and_licence_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


def test_the_licence_is_the_whole_text():
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text
    assert [f"   {number}. " in text for number in range(1, 10)] == [True] * 9


def test_every_runtime_requirement_has_both_bounds():
    for kind in ("", "-tpu", "-cuda", "-parquet", "-report"):
        for requirement in requirements(f"requirements{kind}.txt"):
            operators = {part.operator for part in requirement.specifier}
            assert operators == {">=", "<"}, str(requirement)


def test_accelerators_get_the_same_jax():
    found = {
        str(requirement.specifier)
        for name in ("requirements.txt", "requirements-tpu.txt", "requirements-cuda.txt")
        for requirement in requirements(name)
        if requirement.name == "jax"
    }
    assert len(found) == 1


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
def test_every_target_and_file_that_is_named_exists(name):
    text = (ROOT / name).read_text()
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`make ([a-z0-9-]+)`", text)) <= targets
    paths = re.findall(r"\]\(([^)]+)\)", text) + re.findall(
        r"`((?:skinflow_jax|tests|\.ci)/[^` ]+)`", text
    )
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing
