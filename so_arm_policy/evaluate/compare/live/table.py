"""Where the live rows of a comparison lie."""

from pathlib import Path

from so_arm_policy.evaluate.compare.live.rows import LiveRow
from so_arm_policy.evaluate.compare.table import read_rows

LIVE = "live.parquet"


def live_rows(folder: Path) -> list[LiveRow]:
    """Return the live rows of a comparison's folder; none where none were made. Raises InputError."""
    path = folder / LIVE
    return read_rows(path, LiveRow) if path.exists() else []
