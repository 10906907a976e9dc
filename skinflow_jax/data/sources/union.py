"""Several data sets as one: all their cases, each under the name of its data set."""

import bisect
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from skinflow_jax.clinical.caption_schema import CLINICAL
from skinflow_jax.clinical.schema import Schema
from skinflow_jax.data.sources.case import Caption, Case
from skinflow_jax.data.sources.whole_source import WholeSource
from skinflow_jax.errors import ConfigError


class UnionSource:
    """The cases of `sources` one after the other.

    Ids and groups get the name of their data set in front ("ham10000/ISIC_0027419"), so that those
    of two data sets never meet; `attributes["source"]` says it too.

    Args:
        sources: of different names.
        schema: of the captions; what sources know beyond it is left out.
        captions: further fields by the id of the case; what its source knows comes first.
        names: of the data sets, where they are not those of their kinds.

    Raises ConfigError where two have one name.
    """

    def __init__(
        self,
        sources: Sequence[WholeSource],
        schema: Schema = CLINICAL,
        captions: Mapping[str, Caption] | None = None,
        names: Sequence[str] = (),
    ):
        self._sources = tuple(sources)
        self._names = tuple(names or (source.name for source in sources))
        if repeated := {name for name in self._names if self._names.count(name) > 1}:
            raise ConfigError(
                f"two data sets are called {min(repeated)!r}: give those of data.more a name of "
                'their own, such as {"source": …, "name": "clinic2"}'
            )
        self.schema, self._captions = schema, captions or {}
        self._ends = list(itertools.accumulate(map(len, sources)))
        self.name = "+".join(self._names)
        self.note = "; ".join(dict.fromkeys(source.note for source in sources if source.note))
        pairs = zip(self._names, sources, strict=True)
        remarks = ((name, line) for name, source in pairs for line in source.remarks)
        self.remarks = tuple(f"{name}: {line}" for name, line in remarks)
        names = itertools.chain.from_iterable(source.diagnoses for source in sources)
        self.diagnoses = tuple(dict.fromkeys(names))

    def __len__(self) -> int:
        """The number of cases."""
        return self._ends[-1]

    def case(self, index: int) -> Case:
        """The case; raises InputError naming the file, row and column of a bad entry."""
        source, number = self._place(index)
        case = source.case(number)
        name = self._name(index)
        case_id = f"{name}/{case.case_id}"
        return replace(
            case,
            case_id=case_id,
            caption=self._captions.get(case_id, {}) | self.schema.known(case.caption),
            group=f"{name}/{case.group}",
            attributes={**case.attributes, "source": name},
        )

    def images(self, index: int) -> list[np.ndarray]:
        """As `WholeSource.images`."""
        source, number = self._place(index)
        return source.images(number)

    def image_digests(self, index: int) -> list[str]:
        """As `WholeSource.image_digests`."""
        source, number = self._place(index)
        return source.image_digests(number)

    def mask(self, index: int, size: tuple[int, int]) -> np.ndarray | None:
        """As `WholeSource.mask`."""
        source, number = self._place(index)
        return source.mask(number, size)

    def _name(self, index: int) -> str:
        return self._names[bisect.bisect_right(self._ends, index)]

    def _place(self, index: int) -> tuple[WholeSource, int]:
        which = bisect.bisect_right(self._ends, index)
        return self._sources[which], index - (self._ends[which - 1] if which else 0)
