"""Which episodes a page shows as moving pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from so_arm_policy.evaluate.compare.rows import EpisodeRow


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An episode that stands for its kind. of: how many there are of it."""

    row: EpisodeRow
    of: int


def representatives(rows: Sequence[EpisodeRow], most: int) -> list[Choice]:
    """Return at most `most` episodes: of each controller on each task a success and a failure, where there is one.

    The one that took the median number of ticks, of equals that of the lowest seed; of an even number the one nearest
    to the median. Failures give way to successes where `most` does not suffice. Episodes that ended by an error have no
    digest, so nobody could say whether they were the same again: they are not shown.
    """
    kinds: dict[tuple[str, str, bool], list[EpisodeRow]] = {}
    for row in rows:
        if row.digest is not None and row.ticks:
            kinds.setdefault((row.task, row.controller, row.success), []).append(row)
    chosen = [Choice(row=_typical(found), of=len(found)) for found in kinds.values()]
    kept = sorted(chosen, key=lambda choice: not choice.row.success)[:most]
    return [choice for choice in chosen if choice in kept]


def _typical(rows: Sequence[EpisodeRow]) -> EpisodeRow:
    middle = median(row.ticks or 0 for row in rows)
    return min(rows, key=lambda row: (abs((row.ticks or 0) - middle), row.seed))
