"""A comparison as text for people: a table for each task, then what each pair of controllers says."""

from collections.abc import Callable, Sequence

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
LEGEND = (
    "time, path of the fingertip and energy: means of the successes; LDLJ of the commands and SPARC of the fingertip: "
    "their medians, higher is smoother;\nnearest: least clearance of the measured pose; clamp, reject, hold: ticks a "
    "simulated minute; infer: p50/p99; episodes/min: in one process"
)


def report(cells: Sequence[CellSummary], couples: Sequence[Couple], left_out: Sequence[str]) -> str:
    """Return the whole comparison as text."""
    lines: list[str] = []
    for task in dict.fromkeys(cell.task for cell in cells):
        of_task = [cell for cell in cells if cell.task == task]
        lines += [task, *(f"  {line}" for line in _table(of_task)), *_failures(of_task), ""]
    lines += [LEGEND]
    lines += [f"left out: {text}" for text in left_out]
    if couples:
        lines += ["", *_pairs(couples)]
    return "\n".join(lines)


def couple_line(couple: Couple, couples: int) -> str:
    """Return what one pair says, in one line. couples: how many were judged together."""
    judged = couple.judged
    winner = {A_BETTER: f"{couple.a} better", B_BETTER: f"{couple.b} better"}.get(judged.verdict, judged.verdict)
    text = (
        f"{couple.task}: {couple.a} - {couple.b}: {100 * judged.difference:+.1f} points "
        f"({100 * judged.low:+.1f}..{100 * judged.high:+.1f}) on {judged.pairs.seeds} seeds, "
        f"{judged.pairs.only_a} against {judged.pairs.only_b}, p {judged.p:.2g}, Holm {judged.p_holm:.2g}, "
        f"anytime {judged.p_anytime:.2g}: {winner}"
    )
    text += _also(", time", couple.time_s, "s") + _also(", LDLJ", couple.smoothness, "")
    if judged.verdict not in (A_BETTER, B_BETTER):
        text += f"; {_needed(judged.pairs, couples)}"
    return text


def _pairs(couples: Sequence[Couple]) -> list[str]:
    return [
        "pairs on shared seeds: first less second, 95 % interval (Newcombe 10); exact McNemar, Holm over all "
        f"{len(couples)} pairs, verdict at {ALPHA:g}; anytime: valid though seeds were added",
        "times and smoothness: on seeds on which both succeeded, 95 % bootstrap interval",
        *(f"  {couple_line(couple, len(couples))}" for couple in couples),
    ]


def _needed(pairs: Pairs, couples: int) -> str:
    """Say how many seeds a difference of CLAIM needs, at the share of discordant seeds that was measured."""
    discordant = max(CLAIM, pairs.discordant / pairs.seeds)
    seeds = seeds_needed((discordant + CLAIM) / 2.0, (discordant - CLAIM) / 2.0, ALPHA / couples)
    return f"{100 * CLAIM:.0f} points would need {seeds or 'too many'} seeds (power 80 %)"


def _also(name: str, difference: Difference | None, unit: str) -> str:
    if difference is None:
        return ""
    interval = f"({difference.low:+.2f}..{difference.high:+.2f})"
    return f"{name} {difference.mean:+.2f} {unit}".rstrip() + f" {interval}"


def _table(cells: Sequence[CellSummary]) -> list[str]:
    rows = [list(COLUMNS), *([show(cell) for show in COLUMNS.values()] for cell in cells)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    return [
        "  ".join(
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
