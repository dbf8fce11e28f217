"""Live against lockstep as text for people: two lines of figures for each controller and task."""

from collections.abc import Callable, Sequence

from so_arm_policy.evaluate.compare.live.summary import Both, LiveSummary
from so_arm_policy.evaluate.compare.text import MOST_FAILURES, NONE, aligned

MRAD = 1e3


def difference(both: Both, digits: int, scale: float = 1.0) -> str:
    """Return live less lockstep with its interval, or "-"."""
    found = both.difference
    if found is None:
        return NONE
    mean, low, high = (f"{scale * value:+.{digits}f}" for value in (found.mean, found.low, found.high))
    return f"{mean} ({low}..{high})"


def sides(both: Both, digits: int, scale: float = 1.0) -> str:
    """Return the means, live first."""
    return f"{number(both.live, digits, scale)} / {number(both.lockstep, digits, scale)}"


def number(value: float | None, digits: int, scale: float = 1.0) -> str:
    """Return a figure, or "-"."""
    return NONE if value is None else f"{scale * value:.{digits}f}"


def pair(first: float | None, second: float | None, digits: int = 1) -> str:
    """Return two figures, or "-"."""
    return NONE if first is None or second is None else f"{first:.{digits}f} / {second:.{digits}f}"


def jitter(each: LiveSummary) -> str:
    """Return how late the supervisor's ticks were: p50, p99 and p99.9, ms."""
    if each.tick_p50_ms is None:
        return NONE
    return f"{each.tick_p50_ms:.2f} / {each.tick_p99_ms:.2f} / {each.tick_p999_ms:.2f}"


# Heading, what it shows, and what a reader may want to know of it.
OUTCOMES: tuple[tuple[str, Callable[[LiveSummary], str], str], ...] = (
    ("live", lambda s: f"{s.live}/{s.seeds}", "successes on the graph"),
    ("lockstep", lambda s: f"{s.lockstep}/{s.seeds}", "successes in lockstep, on the same seeds"),
    ("only live", lambda s: f"{s.judged.pairs.only_a}:{s.judged.pairs.only_b}", "seeds on which one succeeded only"),
    ("p", lambda s: f"{s.judged.p:.2g}", "exact McNemar, of this line alone"),
    ("Holm", lambda s: f"{s.judged.p_holm:.2g}", "the same, corrected for all lines"),
    (
        "time s",
        lambda s: sides(s.time_s, 2),
        "until success, live and lockstep: means of seeds on which both succeeded",
    ),
    ("difference", lambda s: difference(s.time_s, 2), "live less lockstep, with its 95 % bootstrap interval"),
    (
        "tracking mrad",
        lambda s: sides(s.tracking_error_rad, 2, MRAD),
        "of the servos, live and lockstep: root mean square",
    ),
    ("difference", lambda s: difference(s.tracking_error_rad, 2, MRAD), "live less lockstep, 95 % bootstrap interval"),
    ("intervened/min", lambda s: sides(s.interventions, 1), "ticks that did not pass as proposed, live and lockstep"),
)
CLOCKS: tuple[tuple[str, Callable[[LiveSummary], str], str], ...] = (
    ("ticks late ms", jitter, "p50 / p99 / p99.9, of the supervisor"),
    ("missed", lambda s: f"{s.missed}/{s.ticks + s.missed}", "ticks of the supervisor"),
    ("source", lambda s: str(s.source_missed), "ticks that the source missed"),
    ("simulator", lambda s: str(s.simulator_missed), "ticks that the simulator missed"),
    (
        "picture to command ms",
        lambda s: pair(s.latency_p50_ms, s.latency_p99_ms),
        "p50 / p99, medians over the episodes",
    ),
    ("lockstep", lambda s: number(s.assumed_ms, 0), "what lockstep takes a picture to need until it is known"),
    ("context ms", lambda s: pair(s.context_p50_ms, s.context_p99_ms), "to compute a context, p50 / p99"),
    ("real time", lambda s: number(s.real_time_factor, 3), "least real-time factor of an episode"),
)
LEGEND = (
    "difference: live less lockstep over shared seeds, 95 % bootstrap interval; p: exact McNemar of this line, Holm: "
    "for all lines together;\ntracking: of the servos, root mean square; intervened: ticks that the supervisor did not "
    "pass as proposed (lockstep holds until the first proposal);\nticks late: of the supervisor, p50 / p99 / p99.9; "
    "picture to command: from a picture to the first command that follows from it, beside what lockstep assumes"
)


def live_report(summaries: Sequence[LiveSummary]) -> str:
    """Return the summaries as text; "" without any."""
    if not summaries:
        return ""
    lines = [
        "live graph against lockstep, the same seeds",
        *_table(summaries, OUTCOMES),
        "",
        *_table(summaries, CLOCKS),
    ]
    for each in summaries:
        lines += _failures(each)
    return "\n".join([*lines, LEGEND])


def _table(
    summaries: Sequence[LiveSummary], columns: Sequence[tuple[str, Callable[[LiveSummary], str], str]]
) -> list[str]:
    head = ["task", "controller", *(name for name, _, _ in columns)]
    return aligned([head, *([s.task, s.controller, *(show(s) for _, show, _ in columns)] for s in summaries)])


def _failures(each: LiveSummary) -> list[str]:
    told = [f"{count} x {what}" for what, count in list(each.failures.items())[:MOST_FAILURES]]
    told += [f"{each.broken} not comparable"] if each.broken else []
    return [f"  {each.controller} on {each.task} failed live: {'; '.join(told)}"] if told else []
