"""Claims about splits: no group and no near-duplicates on two sides, and nobody moves."""

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skinflow_jax.data.splitting.near_duplicates import Pair
from skinflow_jax.data.splitting.splits import SplitCase, Splits, make_splits
from skinflow_jax.errors import InputError

FRACTIONS = {"warmup": 0.4, "rl": 0.4, "heldout": 0.2}


def case(name: str, group: str = "", label: str = "naevus", source: str = "own") -> SplitCase:
    return SplitCase(source, name, group, label)


def linked(cases: list[SplitCase], *names: tuple[str, str]) -> list[Pair]:
    index = {each.case_id: k for k, each in enumerate(cases)}
    return [Pair(*sorted((index[a], index[b])), 0.95) for a, b in names]


def own_split(group: str, fractions=FRACTIONS) -> str:
    return make_splits([case("x", group)], [], fractions, 0).of["own/x"]


def groups_of(split: str, count: int) -> list[str]:
    """Names of groups whose own place is in a split."""
    return [name for name in (f"g{k}" for k in range(100)) if own_split(name) == split][:count]


@st.composite
def builds(draw):
    """Cases of a few sources and groups, links among them, and how many are there at first."""
    count = draw(st.integers(1, 25))
    groups = st.sampled_from(["", *(f"g{k}" for k in range(12))])
    labels, sources = st.sampled_from(["", "a", "b"]), st.sampled_from(["one", "two"])
    cases = [SplitCase(draw(sources), f"c{k}", draw(groups), draw(labels)) for k in range(count)]
    index = st.integers(0, count - 1)
    links = draw(st.lists(st.tuples(index, index), max_size=20))
    pairs = {tuple(sorted(pair)) for pair in links if pair[0] != pair[1]}
    lists = draw(st.dictionaries(index, st.sampled_from(["rl", "heldout", "test"]), max_size=8))
    return cases, [Pair(*pair, 0.95) for pair in sorted(pairs)], draw(index), lists


def check(cases: list[SplitCase], links: list[Pair], splits: Splits) -> None:
    """Everybody is somewhere or told of, no group is cut, no link straddles."""
    left_out = dict(splits.left_out)
    assert set(splits.of) | set(left_out) == {each.id for each in cases}
    assert not set(splits.of) & set(left_out)
    of_group = defaultdict(set)
    for each in cases:
        if each.id in splits.of:
            of_group[each.group_id].add(splits.of[each.id])
    assert all(len(found) == 1 for found in of_group.values())
    for link in links:
        sides = {splits.of.get(cases[k].id) for k in (link.i, link.j)} - {None}
        assert len(sides) < 2


@settings(max_examples=60, deadline=None)
@given(builds())
def test_a_first_build_leaves_nobody_out_and_nothing_straddles(build):
    cases, links, _, _ = build
    splits = make_splits(cases, links, FRACTIONS, 0)
    check(cases, links, splits)
    assert splits.left_out == ()


@settings(max_examples=60, deadline=None)
@given(builds())
def test_nobody_moves_as_cases_are_added_and_nothing_straddles(build):
    cases, links, first, _ = build
    early = [link for link in links if link.j < first]
    before = make_splits(cases[:first], early, FRACTIONS, 0)
    splits = make_splits(cases, links, FRACTIONS, 0, previous=before)
    check(cases, links, splits)
    assert {name: splits.of.get(name) for name in before.of} == before.of
    again = make_splits(cases, links, FRACTIONS, 0, previous=splits)
    # Whoever was left out between two splits may belong to one when its partners have a place.
    assert {name: again.of.get(name) for name in splits.of} == splits.of
    assert dict(again.left_out).keys() <= dict(splits.left_out).keys()
    check(cases, links, again)


@settings(max_examples=60, deadline=None)
@given(builds())
def test_a_list_of_anyone_is_obeyed_and_nothing_straddles(build):
    cases, links, _, listed = build
    lists = {cases[index].id: split for index, split in listed.items()}
    splits = make_splits(cases, links, FRACTIONS, 0, given=lists)
    check(cases, links, splits)
    left_out = dict(splits.left_out)
    for name, split in lists.items():
        assert splits.of.get(name, split) == split
        assert name in splits.of or name in left_out


@settings(max_examples=30, deadline=None)
@given(builds(), st.randoms())
def test_the_order_of_the_cases_decides_nothing(build, random):
    cases, links, _, _ = build
    order = list(range(len(cases)))
    random.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    moved = [Pair(*sorted((place[link.i], place[link.j])), link.correlation) for link in links]
    shuffled = make_splits([cases[k] for k in order], moved, FRACTIONS, 0)
    assert shuffled.of == make_splits(cases, links, FRACTIONS, 0).of


def test_a_group_is_where_its_hash_says_whoever_else_is_there():
    many = [case(f"c{k}", f"g{k // 2}") for k in range(200)]
    splits = make_splits(many, [], FRACTIONS, 0)
    assert all(splits.of[each.id] == own_split(each.group) for each in many)
    assert splits.of != make_splits(many, [], FRACTIONS, 1).of


def test_the_place_of_a_group_is_fixed_for_good():
    """Recorded once: records, runs and published figures depend on it."""
    cases = [case(f"c{k}", f"PAT_{k}", source="pad_ufes_20") for k in range(12)]
    splits = make_splits(cases, [], FRACTIONS, 0)
    assert "".join(splits.of[each.id][0] for each in cases) == "wwwwrwhhrrrr"


def test_patients_of_two_sources_with_one_name_are_two():
    cases = [case("a", "7", source=source) for source in ("one", "two", "three", "four", "five")]
    assert len(set(make_splits(cases, [], FRACTIONS, 0).of.values())) > 1


def test_a_case_without_a_group_is_its_own():
    cases = [case(f"c{k}") for k in range(30)]
    assert len(set(make_splits(cases, [], FRACTIONS, 0).of.values())) == 3


def test_near_duplicates_go_to_the_first_split_that_one_of_them_has():
    """By their names: of a held-out and a warm-up case both are held out."""
    (train,), (held, other) = groups_of("warmup", 1), groups_of("heldout", 2)
    cases = [case("a", held), case("b", other), case("c", train), case("d", other)]
    splits = make_splits(cases, linked(cases, ("a", "b"), ("d", "c")), FRACTIONS, 0)
    assert set(splits.of.values()) == {"heldout"}
    assert splits.left_out == ()


def test_a_newcomer_that_joins_two_splits_is_left_out_and_nobody_moves():
    (train,), (held,) = groups_of("rl", 1), groups_of("heldout", 1)
    before = make_splits([case("a", train), case("b", held)], [], FRACTIONS, 0)
    cases = [case("new", "g-new"), case("a", train), case("b", held)]
    links = linked(cases, ("new", "a"), ("new", "b"))
    splits = make_splits(cases, links, FRACTIONS, 0, previous=before)
    assert splits.of == before.of
    assert splits.left_out == (
        (
            "own/new",
            "joins two splits: near-duplicate of own/a in rl, near-duplicate of own/b in heldout",
        ),
    )


def test_of_a_chain_of_newcomers_between_two_splits_as_much_is_kept_as_can_be():
    (train,), (held,) = groups_of("rl", 1), groups_of("heldout", 1)
    before = make_splits([case("a", train), case("b", held)], [], FRACTIONS, 0)
    cases = [case("a", train), case("b", held), *(case(name) for name in "xyz")]
    links = linked(cases, ("a", "x"), ("x", "y"), ("y", "z"), ("z", "b"))
    splits = make_splits(cases, links, FRACTIONS, 0, previous=before)
    assert [splits.of[f"own/{name}"] for name in "ayzb"] == ["rl", *["heldout"] * 3]
    assert splits.left_out == (
        (
            "own/x",
            "joins two splits: near-duplicate of own/a in rl, through others tied to heldout",
        ),
    )


def test_a_new_image_of_a_known_patient_goes_to_the_patient_though_the_others_are_gone():
    """Near-duplicates had brought the patient there."""
    (train,), (held,) = groups_of("warmup", 1), groups_of("heldout", 1)
    cases = [case("a", train), case("b", held)]
    before = make_splits(cases, linked(cases, ("a", "b")), FRACTIONS, 0)
    after = make_splits([case("new", train)], [], FRACTIONS, 0, previous=before)
    assert after.of == {"own/new": "heldout"}


def test_a_new_image_of_a_held_out_patient_that_copies_a_training_image_is_left_out():
    (train,), (held,) = groups_of("warmup", 1), groups_of("heldout", 1)
    before = make_splits([case("a", train), case("b", held)], [], FRACTIONS, 0)
    cases = [case("a", train), case("b", held), case("new", held)]
    splits = make_splits(cases, linked(cases, ("a", "new")), FRACTIONS, 0, previous=before)
    assert splits.of == before.of
    ((name, why),) = splits.left_out
    assert name == "own/new" and f"of own/{held} in heldout" in why


def test_of_lists_that_cut_a_patient_the_one_to_evaluate_on_stays_whole():
    """Names that the config does not know are kept, and come after those that it knows."""
    cases = [case("a", "p"), case("b", "p"), case("c", "q"), case("d", "r")]
    lists = {"own/a": "rl", "own/b": "test", "own/c": "rl", "own/d": "heldout"}
    splits = make_splits(cases, linked(cases, ("c", "d")), FRACTIONS, 0, given=lists)
    assert splits.of == {"own/b": "test", "own/d": "heldout"}
    assert splits.left_out == (
        ("own/a", "placed in rl, but of own/p in test"),
        ("own/c", "placed in rl, but near-duplicate of own/d in heldout"),
    )


def test_a_case_that_is_tied_only_to_one_that_is_left_out_stays():
    cases = [case(name) for name in "abc"]
    lists = {"own/a": "warmup", "own/b": "rl", "own/c": "heldout"}
    splits = make_splits(cases, linked(cases, ("a", "b"), ("b", "c")), FRACTIONS, 0, given=lists)
    assert splits.of == {"own/a": "warmup", "own/c": "heldout"}


def test_cases_that_a_partial_list_does_not_name_follow_those_it_names():
    cases = [case("a", "p"), case("b", "p"), case("c"), case("d", "q")]
    splits = make_splits(cases, linked(cases, ("a", "c")), FRACTIONS, 0, given={"own/a": "test"})
    assert splits.of == {
        **dict.fromkeys(("own/a", "own/b", "own/c"), "test"),
        "own/d": own_split("q"),
    }


def test_a_list_that_moves_somebody_is_refused():
    before = Splits({"own/a": "rl"}, {"own/p": "rl"})
    with pytest.raises(InputError, match="the list moves own/a from rl to test"):
        make_splits([case("a", "p")], [], FRACTIONS, 0, previous=before, given={"own/a": "test"})


def test_an_id_that_stands_twice_is_refused():
    with pytest.raises(InputError, match="own/a stands twice"):
        make_splits([case("a"), case("a")], [], FRACTIONS, 0)


def test_contradicting_labels_of_near_duplicates_are_listed():
    cases = [case("a", label="naevus"), case("b", label="melanoma"), case("c", label="")]
    splits = make_splits(cases, linked(cases, ("a", "b"), ("b", "c")), FRACTIONS, 0)
    assert len(splits.links) == 2
    (link,) = splits.contradicting
    assert (link.first, link.second) == ("own/a", "own/b")
    assert link.labels == ("naevus", "melanoma") and link.correlation == 0.95


def test_many_images_of_one_group_are_placed_in_a_time_that_grows_with_their_number():
    """A group that is looked through for each of its members would take minutes."""
    cases = [case(f"c{k}", "p") for k in range(20_000)]
    links = [Pair(k, k + 1, 0.95) for k in range(len(cases) - 1)]
    assert len(set(make_splits(cases, links, FRACTIONS, 0).of.values())) == 1


def test_one_patient_under_two_groups_is_in_one_split():
    """As an archive names him in one data set by patient, in another by lesion."""
    cases = [case(f"c{k}", f"g{k}", source=("one", "two")[k % 2]) for k in range(20)]
    kin = [(k, k + 1) for k in range(0, 20, 2)]
    splits = make_splits(cases, [], FRACTIONS, 0, kin=kin)
    apart = make_splits(cases, [], FRACTIONS, 0)
    assert all(splits.of[cases[i].id] == splits.of[cases[j].id] for i, j in kin)
    assert any(apart.of[cases[i].id] != apart.of[cases[j].id] for i, j in kin)
    assert splits.left_out == () == splits.links


def test_of_the_owners_lists_the_smaller_one_stays_whole():
    cases = [case(f"c{k}") for k in range(12)]
    given = {each.id: "test" if k < 3 else "train" for k, each in enumerate(cases)}
    pairs = linked(cases, ("c0", "c5"), ("c1", "c6"))
    splits = make_splits(cases, pairs, FRACTIONS, 0, given=given)
    assert splits.ids("test") == ["own/c0", "own/c1", "own/c2"]
    assert dict(splits.left_out).keys() == {"own/c5", "own/c6"}
