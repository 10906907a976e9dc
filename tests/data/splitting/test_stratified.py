"""Claims about stratified choice and the evaluation split of Fitzpatrick17k."""

import hashlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skinflow_jax.data.sources.table import read_table
from skinflow_jax.data.splitting import fitzpatrick17k_test1000
from skinflow_jax.data.splitting.fitzpatrick17k_test1000 import (
    evaluation_ids,
    write_evaluation_list,
)
from skinflow_jax.data.splitting.lists import read_split_lists
from skinflow_jax.data.splitting.stratified import stratified_choice
from skinflow_jax.errors import InputError


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("aaaabbc"), min_size=1, max_size=60), st.data())
def test_each_label_has_its_share_to_within_one(labels, data):
    by_id = {f"id{k}": label for k, label in enumerate(labels)}
    count = data.draw(st.integers(0, len(labels)))
    found = stratified_choice(by_id, count, 0)
    assert len(found) == count == len(set(found)) and found == sorted(found)
    chosen, all_ = Counter(by_id[name] for name in found), Counter(labels)
    for label, size in all_.items():
        assert abs(chosen[label] - count * size / len(labels)) < 1
    backwards = dict(reversed(by_id.items()))
    assert stratified_choice(backwards, count, 0) == found


def test_the_seed_decides_which():
    labels = {f"id{k}": "a" for k in range(50)}
    assert stratified_choice(labels, 10, 0) != stratified_choice(labels, 10, 1)


def test_what_is_chosen_is_fixed_for_good():
    labels = {f"id{k}": "ab"[k % 2] for k in range(10)}
    assert stratified_choice(labels, 3, 0) == ["id1", "id2", "id4"]


def test_too_few_are_refused():
    with pytest.raises(ValueError, match="cannot choose 2 of 1 ids"):
        stratified_choice({"a": "x"}, 2, 0)


def test_the_evaluation_split_of_the_published_table(test_data, tmp_path):
    table = test_data / "data/fitzpatrick17k/fitzpatrick17k.csv"
    ids = evaluation_ids(table)
    rows = {row.raw("md5hash"): row for row in read_table(table, (), remedy="").rows}
    assert len(set(ids)) == 1000
    assert not any(rows[name].raw("qc") == "3 Wrongly labelled" for name in ids)
    shares = Counter(rows[name].raw("label") for name in ids)
    assert len(shares) == 114 and min(shares.values()) == 3 and max(shares.values()) == 39
    path = write_evaluation_list(table, tmp_path / "lists")
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == fitzpatrick17k_test1000.SHA256
    assert content == "".join(f"{name}\n" for name in sorted(ids)).encode()
    assert set(read_split_lists(path).values()) == {"fitzpatrick17k_test1000"}


def test_a_table_that_was_changed_is_refused(test_data, tmp_path):
    """Its list would have the same name and be another."""
    text = (test_data / "data/fitzpatrick17k/fitzpatrick17k.csv").read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    path = tmp_path / "fitzpatrick17k.csv"
    for kept in (lines[:500], lines[:-100]):
        path.write_text("".join(kept), encoding="utf-8")
        with pytest.raises(InputError, match="not the table of 16,577 rows as published"):
            evaluation_ids(path)
