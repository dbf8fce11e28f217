"""Tables come back as they were, say their version, and refuse what is not theirs."""

from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.evaluate.compare.rows import EpisodeRow, TimingRow
from so_arm_policy.evaluate.compare.table import SCHEMA_VERSION, VERSION_KEY, read_rows, schema_of, write_rows

ROW = EpisodeRow(
    task="reach",
    controller="act",
    family="act",
    sees="cameras",
    robot="so101",
    bundle="so101-act-0df9c9c5",
    bundle_sha256="ab" * 32,
    seed=4,
    instruction='touch the "red" cube, please',
    success=True,
    time_s=1.0 / 3.0,
    ticks=40,
    sparc=-1.4,
    digest="cd" * 32,
)
FAILED = replace(
    ROW, seed=3, success=False, time_s=None, sparc=None, digest=None, failure_stage="error", failure_reason="error: x"
)
TIMING = TimingRow(task="reach", controller="act", seed=4, wall_s=0.5, cpu_s=0.4)


def test_rows_come_back_in_the_order_of_their_keys(tmp_path: Path) -> None:
    path, other = tmp_path / "results.parquet", tmp_path / "again.parquet"
    write_rows(path, [ROW, FAILED], EpisodeRow)
    assert read_rows(path, EpisodeRow) == [FAILED, ROW]
    write_rows(other, [FAILED, ROW], EpisodeRow)
    assert path.read_bytes() == other.read_bytes()
    write_rows(path, [TIMING], TimingRow)
    assert read_rows(path, TimingRow) == [TIMING]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.parquet", "results.parquet"]


def test_no_rows_are_a_table_too(tmp_path: Path) -> None:
    write_rows(tmp_path / "results.parquet", [], EpisodeRow)
    assert read_rows(tmp_path / "results.parquet", EpisodeRow) == []


def test_the_version_and_the_columns_are_in_the_file(tmp_path: Path) -> None:
    write_rows(tmp_path / "results.parquet", [ROW], EpisodeRow)
    schema = pq.read_schema(tmp_path / "results.parquet")
    assert schema.metadata[VERSION_KEY] == str(SCHEMA_VERSION).encode()
    assert schema.names == list(asdict(ROW))
    assert schema.names[:3] == ["task", "controller", "family"]
    assert schema.field("seed").type == pa.int64()
    assert not schema.field("success").nullable
    assert schema.field("energy_j").nullable


def test_another_version_or_another_table_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    write_rows(path, [TIMING], TimingRow)
    with pytest.raises(InputError, match="got TimingRow of schema version 2, expected EpisodeRow of version 2"):
        read_rows(path, EpisodeRow)
    table = pa.Table.from_pylist([asdict(ROW)], schema=schema_of(EpisodeRow))
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, VERSION_KEY: b"0"}), path)
    with pytest.raises(InputError, match="got EpisodeRow of schema version 0, expected EpisodeRow of version 2"):
        read_rows(path, EpisodeRow)
    pq.write_table(pa.table({"success": [True]}), path)
    with pytest.raises(InputError, match="got none of schema version none"):
        read_rows(path, EpisodeRow)
    pq.write_table(table.drop_columns(["seed"]), path)
    with pytest.raises(InputError, match="got columns"):
        read_rows(path, EpisodeRow)
    path.write_bytes(b"PAR1")
    with pytest.raises(InputError, match="expected a whole parquet file"):
        read_rows(path, EpisodeRow)
    with pytest.raises(InputError, match="whole parquet file"):
        read_rows(tmp_path / "none.parquet", EpisodeRow)


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a file that can be written"):
        write_rows(tmp_path / "no" / "results.parquet", [ROW], EpisodeRow)
