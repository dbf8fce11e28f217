"""The results as parquet files with a version of their columns: whole or not there, and read back as rows."""

import dataclasses
import os
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.mapping import from_mapping
from so_arm_policy.evaluate.compare.live.rows import LiveRow
from so_arm_policy.evaluate.compare.rows import EpisodeRow, TimingRow

SCHEMA_VERSION = 2  # goes up with every change of the columns
VERSION_KEY, ROWS_KEY = b"so_arm_policy.schema_version", b"so_arm_policy.rows"
TYPES = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}

Row = TypeVar("Row", EpisodeRow, TimingRow, LiveRow)


def write_rows(path: Path, rows: Sequence[Row], kind: type[Row]) -> None:
    """Write `rows` in the order of their keys, under a temporary name that is then changed; equal rows, equal bytes.

    Raises ConfigError where that is not possible; what was there before is unchanged then.
    """
    ordered = [dataclasses.asdict(row) for row in sorted(rows, key=lambda row: row.key)]
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            pq.write_table(pa.Table.from_pylist(ordered, schema=schema_of(kind)), file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ConfigError(f"{path}: got {error.strerror or error}, expected a file that can be written") from error


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Read what `write_rows` wrote. Raises InputError for what is none, or of another version."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: got {' '.join(str(error).split())}, expected a whole parquet file") from error
    metadata = table.schema.metadata or {}
    version, holds = (metadata.get(key, b"none").decode() for key in (VERSION_KEY, ROWS_KEY))
    if (version, holds) != (str(SCHEMA_VERSION), kind.__name__):
        raise InputError(
            f"{path}: got {holds} of schema version {version}, expected {kind.__name__} of version {SCHEMA_VERSION}; "
            "run the comparison again"
        )
    if not table.schema.equals(schema_of(kind)):
        raise InputError(f"{path}: got columns {table.schema.names}, expected {schema_of(kind).names}")
    return [from_mapping(kind, row, str(path)) for row in table.to_pylist()]


def schema_of(kind: type[Row]) -> pa.Schema:
    """Return the columns of `kind`: its fields, which may be missing where they may be None."""
    hints = typing.get_type_hints(kind)
    fields = []
    for name in (field.name for field in dataclasses.fields(kind)):
        inner, optional = _plain(hints[name])
        fields.append(pa.field(name, TYPES[inner], nullable=optional))
    return pa.schema(fields, metadata={VERSION_KEY: str(SCHEMA_VERSION), ROWS_KEY: kind.__name__})


def _plain(hint: Any) -> tuple[type, bool]:
    if typing.get_origin(hint) is types.UnionType:
        (inner,) = (each for each in typing.get_args(hint) if each is not type(None))
        return inner, True
    return hint, False
