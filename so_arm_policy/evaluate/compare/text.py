"""A comparison as text for people: a table for each task, success by perturbation, then what the pairs say."""

from collections.abc import Callable, Sequence

from so_arm_policy.evaluate.compare.curves import curves
from so_arm_policy.evaluate.compare.curves import lines as curve_lines
from so_arm_policy.evaluate.compare.pairs import Pairs
from so_arm_policy.evaluate.compare.power import seeds_needed
from so_arm_policy.evaluate.compare.summary import CellSummary, Couple, Difference
from so_arm_policy.evaluate.compare.verdicts import A_BETTER, ALPHA, B_BETTER

NONE = "-"
MOST_FAILURES = 3
CLAIM = 0.1  # difference of success rates that the note on the number of seeds is about

COLUMNS: dict[str, Callable[[CellSummary], str]] = {
    "controller": lambda cell: cell.controller,
    "sees": lambda cell: cell.sees,
    "success": lambda cell: f"{cell.successes}/{cell.episodes}",
    "% (95 % Wilson)": lambda cell: _rate(cell),
    "time s": lambda cell: _number(cell.time_s, 2),
    "path m": lambda cell: _number(cell.tip_path_m, 2),
    "energy J": lambda cell: _number(cell.energy_j, 2),
    "LDLJ": lambda cell: _number(cell.smoothness, 2),
    "SPARC": lambda cell: _number(cell.sparc, 2),
    "nearest mm": lambda cell: _number(cell.clearance_m, 1, 1000.0),
    "clamp/min": lambda cell: _number(cell.clamps, 1),
    "reject/min": lambda cell: _number(cell.rejects, 1),
    "hold/min": lambda cell: _number(cell.holds, 1),
    "infer ms": lambda cell: f"{_number(cell.inference_p50_ms, 2)}/{_number(cell.inference_p99_ms, 2)}",
    "episodes/min": lambda cell: _number(cell.per_minute, 1),
}
PAIR_COLUMNS: dict[str, Callable[[Couple], str]] = {
    "task": lambda couple: couple.task,
    "first - second": lambda couple: f"{couple.a} - {couple.b}",
    "points": lambda couple: f"{100 * couple.judged.difference:+.1f}",
    "95 %": lambda couple: f"{100 * couple.judged.low:+.1f}..{100 * couple.judged.high:+.1f}",
    "seeds": lambda couple: str(couple.judged.pairs.seeds),
    "only one": lambda couple: f"{couple.judged.pairs.only_a}:{couple.judged.pairs.only_b}",
    "p": lambda couple: f"{couple.judged.p:.2g}",
    "Holm": lambda couple: f"{couple.judged.p_holm:.2g}",
    "anytime": lambda couple: f"{couple.judged.p_anytime:.2g}",
    "verdict": lambda couple: winner(couple),
    "time s": lambda couple: _interval(couple.time_s),
    "LDLJ": lambda couple: _interval(couple.smoothness),
}
LEGEND = (
    "time, path of the fingertip and energy: means of the successes; LDLJ of the commands and SPARC of the fingertip: "
    "their medians, higher is smoother;\nnearest: least clearance of the measured pose; clamp, reject, hold: ticks a "
    "simulated minute; infer: p50/p99; episodes/min: in one process"
)


def report(cells: Sequence[CellSummary], couples: Sequence[Couple], left_out: Sequence[str]) -> str:
    """Return the whole comparison as text."""
    lines: list[str] = []
    plain = [cell for cell in cells if not cell.perturbation]
    for task in dict.fromkeys(cell.task for cell in plain):
        of_task = [cell for cell in plain if cell.task == task]
        lines += [task, *_table(of_task), *_failures(of_task), ""]
    lines += [LEGEND]
    lines += [f"left out: {text}" for text in left_out]
    found = curves(cells)
    if found:
        lines += ["", "success by strength (95 % Wilson):", *(f"  {line}" for line in curve_lines(found))]
    plain_couples = [couple for couple in couples if not couple.perturbation]
    if plain_couples:
        lines += ["", *_pairs(plain_couples)]
    lines += _disturbed_pairs([couple for couple in couples if couple.perturbation])
    return "\n".join(lines)


def winner(couple: Couple) -> str:
    """Return the verdict of a pair, by name."""
    return {A_BETTER: f"{couple.a} better", B_BETTER: f"{couple.b} better"}.get(
        couple.judged.verdict, couple.judged.verdict
    )


def _pairs(couples: Sequence[Couple]) -> list[str]:
    number = len(couples)
    rows = [list(PAIR_COLUMNS), *([show(couple) for show in PAIR_COLUMNS.values()] for couple in couples)]
    # How many seeds CLAIM needs depends on how many pairs are judged together, which no column knows by itself.
    rows = [
        [*row, text]
        for row, text in zip(
            rows,
            [f"{100 * CLAIM:.0f} points need", *(_needed(couple.judged.pairs, number) for couple in couples)],
            strict=True,
        )
    ]
    return [
        "pairs on shared seeds, first less second",
        *aligned(rows),
        f"95 %: Newcombe's interval; p: exact McNemar; Holm: for all {number} pairs together, verdict at {ALPHA:g}; "
        "anytime: valid though larger seeds were added after looking, not corrected;",
        "time, LDLJ: mean difference over the seeds on which both succeeded, 95 % bootstrap interval; need: seeds for "
        "a power of 80 % at the share of seeds on which only one succeeded",
    ]


def _disturbed_pairs(couples: Sequence[Couple]) -> list[str]:
    """Return what is certain of perturbed episodes: with so many conditions, the rest would bury it."""
    if not couples:
        return []
    under: dict[tuple[str, float], list[Couple]] = {}
    for couple in couples:
        under.setdefault((couple.perturbation, couple.strength), []).append(couple)
    lines = []
    for (name, strength), found in under.items():
        certain = [couple for couple in found if couple.judged.verdict in (A_BETTER, B_BETTER)]
        lines += [f"  {name} {strength:g}: {_told_apart(couple)}" for couple in certain]
    return [
        "",
        f"pairs under perturbations: {len(couples)}, {len(lines)} of them told apart; Holm over the pairs of each "
        "perturbation and strength",
        *lines,
    ]


def _told_apart(couple: Couple) -> str:
    judged = couple.judged
    return (
        f"{couple.task}: {couple.a} - {couple.b} {100 * judged.difference:+.1f} points "
        f"({100 * judged.low:+.1f}..{100 * judged.high:+.1f}) on {judged.pairs.seeds} seeds, Holm {judged.p_holm:.2g}"
    )


def _needed(pairs: Pairs, couples: int) -> str:
    """Return how many seeds a difference of CLAIM needs, at the share of discordant seeds that was measured."""
    discordant = max(CLAIM, pairs.discordant / pairs.seeds)
    seeds = seeds_needed((discordant + CLAIM) / 2.0, (discordant - CLAIM) / 2.0, ALPHA / couples)
    return f"{seeds} seeds" if seeds else "too many"


def _interval(difference: Difference | None) -> str:
    if difference is None:
        return NONE
    return f"{difference.mean:+.2f} ({difference.low:+.2f}..{difference.high:+.2f})"


def _table(cells: Sequence[CellSummary]) -> list[str]:
    return aligned([list(COLUMNS), *([show(cell) for show in COLUMNS.values()] for cell in cells)])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines, the first two columns to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(
            text.ljust(width) if i < 2 else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _failures(cells: Sequence[CellSummary]) -> list[str]:
    lines = []
    for cell in cells:
        most = list(cell.failures.items())[:MOST_FAILURES]
        more = sum(cell.failures.values()) - sum(count for _, count in most)
        told = [f"{count} x {what}" for what, count in most] + ([f"{more} others"] if more else [])
        if told:
            lines.append(f"  {cell.controller} failed: {'; '.join(told)}")
    return lines


def _rate(cell: CellSummary) -> str:
    if not cell.episodes:
        return NONE
    return f"{100 * cell.successes / cell.episodes:.1f} ({100 * cell.low:.1f}..{100 * cell.high:.1f})"


def _number(value: float | None, digits: int, scale: float = 1.0) -> str:
    return NONE if value is None else f"{value * scale:.{digits}f}"
