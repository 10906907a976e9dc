"""Records by the id of their case, among all that lie in a folder."""

from pathlib import Path

from skinflow_jax.data.manifest import FILE
from skinflow_jax.data.record_set import Record, RecordSet
from skinflow_jax.errors import InputError


class CaseLookup:
    """The cases of the records in `folder`, or in the folders right below it, as a run has them.

    An id that is there twice, in records of several splits or counts, is that of the first by name.

    Raises:
      InputError: no records are there, or damaged ones.
    """

    def __init__(self, folder: Path):
        places = [path for path in (folder, *sorted(folder.glob("*"))) if (path / FILE).is_file()]
        if not places:
            raise InputError(f"{folder} holds no records: give what `train --records` was given")
        self._sets = [RecordSet(place) for place in places]
        self._places: dict[str, tuple[RecordSet, int]] = {}
        for records in self._sets:
            for number in range(len(records)):
                self._places.setdefault(records.case(number).case_id, (records, number))

    def find(self, case_id: str) -> tuple[RecordSet, Record] | None:
        """The records that a case is in, and its own; None where it is in none."""
        if case_id not in self._places:
            return None
        records, number = self._places[case_id]
        return records, records[number]
