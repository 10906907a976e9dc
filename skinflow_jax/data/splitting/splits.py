"""Which split each case of a build is in: no group and no near-duplicates on two sides.

The rules, for cases and links over the union of all sources:

* A case that was placed before, or that a list of the person's places, is there.
* Others go where their group and their near-duplicates are. What is tied to nobody goes where a
  hash of the seed and its group says, whoever else is there; what is tied to one another goes to
  the first by name of the splits that their groups have. In which order a config names the splits
  says nothing.
* A newcomer that is tied to two splits is left out and listed. Nobody moves for it.
* Where two cases with a place are tied across splits, as in lists that were cut by image, the one
  of the split with fewer cases stays, so that a published list to evaluate on stays whole, and the
  other is left out and listed.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from skinflow_jax.data.splitting.near_duplicates import Pair
from skinflow_jax.errors import InputError, printable


@dataclass(frozen=True)
class SplitCase:
    """What splits need to know of a case.

    Attributes:
        source: its name, unique in the build; holds no "/".
        case_id: unique in the source.
        group: patient or lesion; "" where the case is its own.
        label: the diagnosis; "" where none is known.
        partition: where the owner of the data set puts it; "" where he does not.
    """

    source: str
    case_id: str
    group: str
    label: str = ""
    partition: str = ""

    @property
    def id(self) -> str:
        """Unique in the build."""
        return f"{self.source}/{self.case_id}"

    @property
    def group_id(self) -> str:
        """Of one source: two data sets number their patients alike."""
        return f"{self.source}/{self.group or self.case_id}"


@dataclass(frozen=True)
class Link:
    """The ids of two cases that are near-duplicates, their labels and their correlation."""

    first: str
    second: str
    labels: tuple[str, str]
    correlation: float

    @property
    def contradicts(self) -> bool:
        """Whether one picture has two labels."""
        return all(self.labels) and self.labels[0] != self.labels[1]


@dataclass(frozen=True)
class Splits:
    """Where everybody is.

    Attributes:
        of: the split of each case by its id, in the order of the cases.
        groups: the split of each group by its id, of earlier builds too.
        left_out: the ids of the cases that are in none, and why.
        links: the near-duplicates, contradicting labels among them.
    """

    of: dict[str, str]
    groups: dict[str, str]
    left_out: tuple[tuple[str, str], ...] = ()
    links: tuple[Link, ...] = ()

    @property
    def contradicting(self) -> tuple[Link, ...]:
        """The near-duplicates that have different labels."""
        return tuple(link for link in self.links if link.contradicts)

    def ids(self, split: str) -> list[str]:
        """The cases of a split, sorted."""
        return sorted(name for name, own in self.of.items() if own == split)


def make_splits(
    cases: Sequence[SplitCase],
    links: Iterable[Pair],
    fractions: Mapping[str, float],
    seed: int,
    *,
    previous: Splits | None = None,
    given: Mapping[str, str] | None = None,
    kin: Iterable[tuple[int, int]] = (),
) -> Splits:
    """The splits of a build, by the rules above.

    Args:
        cases: of all sources.
        links: near-duplicates among them, as indices (`near_duplicates.case_links`).
        fractions: the names of the splits and the share of groups of each.
        seed: which groups go where.
        previous: the splits of the build before.
        given: the split of some or all cases by their id, from lists (`lists`); its names
            may be others than those of `fractions`.
        kin: cases of one patient or lesion under several groups, as indices.

    Raises InputError where an id stands twice or `given` moves a case that `previous` placed.
    """
    placing = _Placing(cases, list(links), fractions, seed, previous or Splits({}, {}), given or {})
    placing.join(kin)
    placing.leave_out_straddling()
    placing.leave_out_joining()
    placing.place()
    return placing.splits()


class _Placing:
    """The work of `make_splits`; cases are their indices here."""

    def __init__(self, cases, links, fractions, seed, previous, given):
        self.cases, self.links, self.fractions, self.seed = cases, links, fractions, seed
        self.earlier_groups = previous.groups
        fixed = _fixed(cases, previous.of, given)
        names = {*fixed.values(), *previous.groups.values()}
        placed = Counter(fixed.values())
        shares = {name: placed[name] / len(cases) for name in names}
        sizes = shares | dict(fractions)
        order = sorted(sizes, key=lambda name: (-sizes[name], name))
        self.rank = {name: rank for rank, name in enumerate(order)}
        self.split: dict[int, str] = {}  # of each case that has a place
        self.left_out: dict[int, str] = {}
        self.partners, self.members = defaultdict(set), defaultdict(list)
        self.kin: set[tuple[int, int]] = set()
        for link in links:
            self.partners[link.i].add(link.j)
            self.partners[link.j].add(link.i)
        for index, case in enumerate(cases):
            self.members[case.group_id].append(index)
        self.placed = defaultdict(Counter)  # of each group, the number of cases in each split
        for index, split in fixed.items():
            self._put(index, split)

    def join(self, kin: Iterable[tuple[int, int]]) -> None:
        """Cases that belong together though no picture says so."""
        for first, second in kin:
            self.partners[first].add(second)
            self.partners[second].add(first)
            self.kin |= {(first, second), (second, first)}

    def ties(self, index: int) -> list[tuple[str, str]]:
        """The splits that a case is tied to, each with how: by a partner or by its group."""
        found = [
            (self.split[other], f"{self._how(index, other)} in {self.split[other]}")
            for other in sorted(self.partners[index])
            if other in self.split
        ]
        group = self.cases[index].group_id
        splits = {split for split, count in self.placed[group].items() if count}
        if group in self.earlier_groups and index not in self.split:
            splits.add(self.earlier_groups[group])
        return found + [(own, f"of {printable(group)} in {own}") for own in sorted(splits)]

    def leave_out_straddling(self) -> None:
        """Of cases with a place that are tied across splits, those of the earlier split."""
        for index in sorted(self.split, key=lambda index: -self.rank[self.split[index]]):
            own = self.split[index]
            for split, how in self.ties(index):
                if self.rank[split] > self.rank[own]:
                    self._leave_out(index, f"placed in {own}, but {how}")
                    break

    def leave_out_joining(self) -> None:
        """Of newcomers that reach two splits, those tied to another than the first of them."""
        for together in self._components():
            ties = {index: self.ties(index) for index in together}
            reached = {split for each in ties.values() for split, _ in each}
            if len(reached) < 2:
                continue
            first = min(reached)
            for index, each in ties.items():
                others = [how for split, how in each if split != first]
                if others:
                    own = [how for split, how in each if split == first]
                    through = own[0] if own else f"through others tied to {first}"
                    self._leave_out(index, f"joins two splits: {others[0]}, {through}")

    def place(self) -> None:
        """All newcomers that are left; what is tied to one another is tied to one split at most."""
        for together in self._components():
            reached = {split for index in together for split, _ in self.ties(index)}
            own = reached or {
                split_of(self.cases[index].group_id, self.fractions, self.seed)
                for index in together
            }
            for index in together:
                self._put(index, min(own))

    def splits(self) -> Splits:
        """What was found, in the order of the cases."""
        names = [case.id for case in self.cases]
        of = {names[index]: self.split[index] for index in sorted(self.split)}
        groups = {self.cases[index].group_id: own for index, own in sorted(self.split.items())}
        links = (
            Link(names[i], names[j], (self.cases[i].label, self.cases[j].label), correlation)
            for i, j, correlation in sorted((k.i, k.j, k.correlation) for k in self.links)
        )
        left_out = ((names[index], why) for index, why in sorted(self.left_out.items()))
        return Splits(of, self.earlier_groups | groups, tuple(left_out), tuple(links))

    def _components(self) -> list[list[int]]:
        """Newcomers, those together that are tied to one another."""
        unseen = set(range(len(self.cases))) - set(self.split) - set(self.left_out)
        found, opened = [], set()
        for start in sorted(unseen):
            together, reached = [], [start]
            while reached:
                index = reached.pop()
                if index not in unseen:
                    continue
                unseen.remove(index)
                together.append(index)
                reached += self.partners[index]
                group = self.cases[index].group_id
                if group not in opened:
                    opened.add(group)
                    reached += self.members[group]
            if together:
                found.append(sorted(together))
        return found

    def _put(self, index: int, split: str) -> None:
        self.split[index] = split
        self.placed[self.cases[index].group_id][split] += 1

    def _leave_out(self, index: int, why: str) -> None:
        self.left_out[index] = why
        split = self.split.pop(index, None)
        if split is not None:
            self.placed[self.cases[index].group_id][split] -= 1

    def _how(self, index: int, other: int) -> str:
        kind = "of a patient or lesion of" if (index, other) in self.kin else "near-duplicate of"
        return f"{kind} {self._name(other)}"

    def _name(self, index: int) -> str:
        return printable(self.cases[index].id)


def _fixed(
    cases: Sequence[SplitCase], previous: Mapping[str, str], given: Mapping[str, str]
) -> dict[int, str]:
    """The split of each case that has a place already."""
    seen, fixed = set(), {}
    for index, case in enumerate(cases):
        if case.id in seen:
            raise InputError(f"{printable(case.id)} stands twice among the cases; leave one")
        seen.add(case.id)
        before, listed = previous.get(case.id), given.get(case.id)
        if before and listed and before != listed:
            raise InputError(
                f"the list moves {printable(case.id)} from {before} to {listed}; it stays where an "
                "earlier build has it: build into a fresh folder, or mend the list"
            )
        if before or listed:
            fixed[index] = before or listed
    return fixed


def split_of(group: str, fractions: Mapping[str, float], seed: int) -> str:
    """The split of one group: its place by a hash of the seed and its name."""
    digest = hashlib.sha256(f"{seed}/{group}".encode()).digest()
    place = int.from_bytes(digest[:7]) / 2**56  # exact in a float, and below 1
    edge = 0.0
    for name, fraction in sorted(fractions.items()):
        edge += fraction
        if place < edge:
            return name
    return name
