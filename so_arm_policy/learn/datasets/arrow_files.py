"""Parquet files and numpy arrays: columns of any shape both ways, and files that are whole or not there."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from so_arm_policy.core.errors import InputError, SoArmError

Array = npt.NDArray[Any]
PARTIAL = ".partial"


class WriteError(SoArmError):
    """A file could not be written, e.g. because the disk is full. What was there before is unchanged."""


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file under a temporary name, then rename it: under its own name it is whole or absent.

    Raises WriteError; then nothing of it is left.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise WriteError(f"{path}: got {error.strerror or error}, expected to write {len(content)} bytes") from error


def write_table(path: Path, table: pa.Table) -> None:
    """Write a parquet file, whole or not at all. Raises WriteError."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="snappy")
    write_whole(path, memoryview(sink.getvalue()))


def read_table(path: Path, columns: Sequence[str] | None = None, need: Sequence[str] = ()) -> pa.Table:
    """Read (some columns of) a parquet file. Raises InputError that names the file; also when a needed one is missing.

    Parquet holds values only: nothing in it is ever executed or unpickled.
    """
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            missing = [name for name in need if name not in names]
            if missing:
                raise InputError(f"{path}: got columns {names}, expected {missing} too")
            return file.read(columns=None if columns is None else [name for name in columns if name in names])
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: got {_one_line(error)}, expected a whole parquet file") from error


def to_column(values: Array) -> pa.Array:
    """Return rows (N, ...) as an Arrow column: plain numbers for (N,), lists (of lists) otherwise."""
    column = pa.array(np.ascontiguousarray(values).reshape(-1))
    for depth in range(values.ndim - 1, 0, -1):
        count, size = int(np.prod(values.shape[:depth])), values.shape[depth]
        column = pa.ListArray.from_arrays(pa.array(np.arange(count + 1) * size, type=pa.int32()), column)
    return column


def from_column(table: pa.Table, name: str, shape: tuple[int, ...], where: str) -> Array:
    """Return a column as (N, *shape). Raises InputError for gaps and for rows of another shape or of no numbers."""
    column = table.column(name).combine_chunks()
    column = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    lengths = []
    while True:
        if isinstance(column, pa.ExtensionArray):
            column = column.storage
        if column.null_count:
            raise InputError(f"{where}: got {column.null_count} missing values in {name!r}, expected none")
        if not hasattr(column, "flatten") or isinstance(column, pa.StructArray):
            break
        lengths.append(column.value_lengths())
        column = column.flatten()
    expected = len(table) * int(np.prod(shape, dtype=np.int64))
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)):
        raise InputError(f"{where}: got {name!r} of type {column.type}, expected numbers")
    sizes = [int(s) for at in lengths for s in np.unique(at.to_numpy(zero_copy_only=False))]
    if len(column) != expected or sizes != list(shape)[: len(sizes)]:
        raise InputError(f"{where}: got rows of {name!r} with sizes {sizes}, expected {list(shape)}")
    return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(len(table), *shape)


def with_metadata(table: pa.Table, extra: Mapping[str, str]) -> pa.Table:
    """Return the table with texts added to the metadata of its schema."""
    metadata = dict(table.schema.metadata or {}) | {key.encode(): value.encode() for key, value in extra.items()}
    return table.replace_schema_metadata(metadata)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
