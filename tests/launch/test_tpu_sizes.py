"""The table of slices says of each what Google's own names say."""

import math
import re
from pathlib import Path

import pytest

TABLE = Path(__file__).parents[2] / "launch/tpu_sizes.tsv"
LINES = [line for line in TABLE.read_text().splitlines() if not line.startswith("#")]
COLUMNS = LINES[0].split("\t")
SIZES = [dict(zip(COLUMNS, line.split("\t"), strict=True)) for line in LINES[1:]]
CORES_A_CHIP = {"v4": 2, "v5litepod": 1, "v5p": 2, "v6e": 1, "tpu7x": 2}


def size(name):
    return next(size for size in SIZES if size["type"] == name)


@pytest.mark.parametrize("size", SIZES, ids=[size["type"] for size in SIZES])
def test_the_columns_of_a_row_agree(size):
    kind, number = size["type"].split("-")
    chips = math.prod(map(int, size["topology"].split("x")))
    assert int(size["chips"]) == chips
    assert int(number) == chips * CORES_A_CHIP[kind]
    on_machine = int(re.search(r"-(\d)t$", size["machine"])[1])
    assert int(size["machines"]) * on_machine == chips
    assert set(size["backends"].split(",")) <= {"tpu-vm", "group"}


def test_types_are_there_once_and_from_4_to_256_chips():
    assert len({size["type"] for size in SIZES}) == len(SIZES)
    for kind in CORES_A_CHIP:
        chips = {int(size["chips"]) for size in SIZES if size["type"].startswith(f"{kind}-")}
        assert {4, 8, 16, 32, 64, 128, 256} <= chips


def test_what_is_easily_taken_for_something_else():
    assert (size("v5p-32")["chips"], size("v5p-32")["machines"]) == ("16", "4")
    assert (size("v6e-16")["topology"], size("v6e-16")["machines"]) == ("4x4", "4")
    assert (size("v6e-8")["machine"], size("v6e-8")["machines"]) == ("ct6e-standard-8t", "1")
    assert (size("tpu7x-8")["chips"], size("tpu7x-8")["backends"]) == ("4", "group")


def test_runtimes_are_those_of_the_generation():
    runtimes = {size["type"].split("-")[0]: size["runtime"] for size in SIZES}
    assert runtimes == {
        "v4": "tpu-ubuntu2204-base",
        "v5litepod": "v2-alpha-tpuv5-lite",
        "v5p": "v2-alpha-tpuv5",
        "v6e": "v2-alpha-tpuv6e",
        "tpu7x": "-",
    }
