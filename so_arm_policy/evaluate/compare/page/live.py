"""What the page shows of live episodes: the tables of the text, with their legends."""

from collections.abc import Sequence

from so_arm_policy.evaluate.compare.live.rows import LiveRow
from so_arm_policy.evaluate.compare.live.summary import LiveSummary, summarise_live
from so_arm_policy.evaluate.compare.live.text import CLOCKS, OUTCOMES
from so_arm_policy.evaluate.compare.rows import EpisodeRow

# Title, heading and legend of each column, and for each controller on each task what it shows.
LiveTable = tuple[str, list[tuple[str, str]], list[tuple[LiveSummary, list[str]]]]


def live_tables(live: Sequence[LiveRow], lockstep: Sequence[EpisodeRow]) -> list[LiveTable]:
    """Return the tables; none without live episodes."""
    summaries = summarise_live(live, lockstep)
    if not summaries:
        return []
    return [
        (
            title,
            [(name, text) for name, _, text in columns],
            [(each, [show(each) for _, show, _ in columns]) for each in summaries],
        )
        for title, columns in (("What came of it", OUTCOMES), ("What the clock said", CLOCKS))
    ]
