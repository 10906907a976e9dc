"""Records compared with their manifest, byte for byte: `skinflow data verify`."""

from collections.abc import Callable
from pathlib import Path

from skinflow_jax.data.manifest import Shard
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.data.records import read_signatures
from skinflow_jax.data.splitting.files import check_splits
from skinflow_jax.errors import InputError


def verify_records(folder: Path, progress: Callable[[int, int], None] | None = None) -> RecordSet:
    """Read every shard, record, signature and list of a split; returns the set.

    Raises InputError naming the first file or record that is not what the manifest states.
    """
    records = RecordSet(folder)
    for shard in records.manifest.shards:
        if Shard.of(folder / shard.file, shard.count) != shard:
            raise InputError(
                f"{folder / shard.file}: its bytes are not those that were built; remove the "
                "folder and build it again"
            )
    if records.manifest.signatures:
        read_signatures(folder)
    check_splits(folder)
    for number in range(len(records)):
        records[number]  # ArrayRecord's checksums, and the table of cases
        if progress:
            progress(number + 1, len(records))
    return records
