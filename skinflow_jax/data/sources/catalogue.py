"""The table of data sets: a name to its class, whose `Options` are what a config may say of it.

A new source is a file beside this one and a line here; docs/data.md shows how.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skinflow_jax.clinical.caption_schema import CLINICAL
from skinflow_jax.clinical.schema import Schema
from skinflow_jax.data.sources.bcn20000 import Bcn20000Source
from skinflow_jax.data.sources.ddi import DdiSource
from skinflow_jax.data.sources.derm1m import Derm1mSource
from skinflow_jax.data.sources.derm7pt import Derm7ptSource
from skinflow_jax.data.sources.fitzpatrick17k import Fitzpatrick17kSource
from skinflow_jax.data.sources.folder import FolderSource
from skinflow_jax.data.sources.ham10000 import Ham10000Source
from skinflow_jax.data.sources.isic import IsicSource
from skinflow_jax.data.sources.milk10k import Milk10kSource
from skinflow_jax.data.sources.pad_ufes_20 import PadUfesSource
from skinflow_jax.data.sources.rows import ParquetSource, RowsSource
from skinflow_jax.data.sources.scin import ScinSource
from skinflow_jax.data.sources.user_tables import CsvSource
from skinflow_jax.data.sources.whole_source import WholeSource
from skinflow_jax.errors import ConfigError
from skinflow_jax.typed_fields import from_dict

CATALOGUE: dict[str, type[WholeSource]] = {
    source.name: source
    for source in (
        *(
            Fitzpatrick17kSource,
            PadUfesSource,
            Ham10000Source,
            IsicSource,
            Bcn20000Source,
            Milk10kSource,
        ),
        *(DdiSource, ScinSource, Derm7ptSource, Derm1mSource),
        *(FolderSource, CsvSource, RowsSource, ParquetSource),
    )
}


def check_options(name: str, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The options of a data set as JSON values; `where` is their group in the config.

    Raises ConfigError naming an unknown key or a wrong value.
    """
    try:
        options = from_dict(CATALOGUE[name].Options, given, where)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error
    return {key: json.loads(json.dumps(getattr(options, key))) for key in given}


def open_source(
    name: str,
    root: str | Path,
    options: Mapping[str, Any] | None = None,
    schema: Schema = CLINICAL,
) -> WholeSource:
    """A whole data set by its name in the catalogue.

    Args:
        name: a key of `CATALOGUE`.
        root: the folder of its files.
        options: fields of the source's `Options`; defaults for those that are absent.
        schema: of the captions that a table of the user's own holds.

    Raises ConfigError naming the choices on an unknown name or option, InputError on bad files.
    """
    if name not in CATALOGUE:
        raise ConfigError(f"unknown source {name!r}; choose from {', '.join(CATALOGUE)}")
    kind = CATALOGUE[name]
    source = kind(root, from_dict(kind.Options, options or {}, "data.options."))
    source.take_schema(schema)
    return source
