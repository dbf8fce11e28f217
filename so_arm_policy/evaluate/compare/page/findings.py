"""What a comparison says of each task in plain words, each claim with its test."""

from collections.abc import Sequence
from dataclasses import dataclass

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.compare.power import seeds_needed
from so_arm_policy.evaluate.compare.summary import CellSummary, Couple, Difference
from so_arm_policy.evaluate.compare.verdicts import A_BETTER, ALPHA, NOT_DISTINGUISHABLE
from so_arm_policy.evaluate.controllers import CAMERAS

EVERYONE, CAMERA_ONLY = "all controllers", "only those that see by camera"
POINTS = (5, 10, 20, 30)  # differences of success rates that the note on power is about


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What shared seeds say of `first` and `second`: of `second`, no more than of `first`, where it can be told.

    better: name of the better one; None where they are not distinguishable. difference, low, high: points of success
    rate, first less second. only_first, only_second: discordant seeds. time_s, smoothness: first less second.
    """

    first: str
    second: str
    better: str | None
    difference: float
    low: float
    high: float
    only_first: int
    only_second: int
    seeds: int
    p: float
    p_holm: float
    p_anytime: float
    time_s: Difference | None
    smoothness: Difference | None

    @property
    def verdict(self) -> str:
        """Return the verdict in words."""
        if self.better is None:
            return NOT_DISTINGUISHABLE
        return f"{self.better} better"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Who wins a task, among those of `scope`. lead: the verdict, text: how sure it is. claims: leader against each."""

    task: str
    scope: str
    lead: str
    text: str
    claims: tuple[Claim, ...]


@dataclass(frozen=True, kw_only=True)
class PowerRow:
    """How many seeds a difference of so many points needs; seeds: None for too many."""

    points: int
    seeds: int | None


def claim(couple: Couple, first: str) -> Claim:
    """Return what a couple says, as seen from `first`. Raises ConfigError where it is neither of the two."""
    if first not in (couple.a, couple.b):
        raise ConfigError(f"claim: got {first!r}, expected {couple.a!r} or {couple.b!r}")
    judged, turned = couple.judged, first == couple.b
    only_first, only_second = judged.pairs.only_a, judged.pairs.only_b
    low, high, sign = judged.low, judged.high, 1.0
    if turned:
        only_first, only_second = only_second, only_first
        low, high, sign = -judged.high, -judged.low, -1.0
    better = couple.a if judged.verdict == A_BETTER else couple.b
    return Claim(
        first=first,
        second=couple.a if turned else couple.b,
        better=None if judged.verdict == NOT_DISTINGUISHABLE else better,
        difference=100.0 * sign * judged.difference + 0.0,
        low=100.0 * low,
        high=100.0 * high,
        only_first=only_first,
        only_second=only_second,
        seeds=judged.pairs.seeds,
        p=judged.p,
        p_holm=judged.p_holm,
        p_anytime=judged.p_anytime,
        time_s=_turned(couple.time_s) if turned else couple.time_s,
        smoothness=_turned(couple.smoothness) if turned else couple.smoothness,
    )


def findings(cells: Sequence[CellSummary], couples: Sequence[Couple]) -> list[Finding]:
    """Return what is found of every task: of all controllers, and of those alone that see no more than cameras do."""
    found = []
    for task in dict.fromkeys(cell.task for cell in cells):
        everyone = [cell for cell in cells if cell.task == task]
        found.append(_finding(task, everyone, couples, EVERYONE))
        fair = [cell for cell in everyone if cell.sees == CAMERAS]
        if 1 < len(fair) < len(everyone):
            found.append(_finding(task, fair, couples, CAMERA_ONLY))
    return found


def claims_of(task: str, cells: Sequence[CellSummary], couples: Sequence[Couple]) -> list[Claim]:
    """Return a claim for every pair of a task, the one with more successes first."""
    rank = {cell.controller: i for i, cell in enumerate(ranked([c for c in cells if c.task == task]))}
    mine = [couple for couple in couples if couple.task == task]
    claims = [claim(couple, min(couple.a, couple.b, key=rank.__getitem__)) for couple in mine]
    return sorted(claims, key=lambda each: (rank[each.first], rank[each.second]))


def power_rows(task: str, couples: Sequence[Couple]) -> tuple[float, list[PowerRow]]:
    """Return the share of discordant seeds that is assumed, and the seeds needed for each of POINTS; empty for none.

    For a power of 80 % by the exact McNemar test at ALPHA / pairs, the strictest level of Holm's correction. The share
    is the mean of the pairs of the task that are not distinguishable, or of all where there are none such; and no less
    than the difference itself, which no pair can have.
    """
    mine = [couple.judged for couple in couples if couple.task == task]
    open_pairs = [judged for judged in mine if judged.verdict == NOT_DISTINGUISHABLE] or mine
    shares = [judged.pairs.discordant / judged.pairs.seeds for judged in open_pairs]
    if not shares:
        return 0.0, []
    share, alpha = sum(shares) / len(shares), ALPHA / len(couples)
    rows = []
    for points in POINTS:
        difference = points / 100.0
        discordant = max(difference, share)
        seeds = seeds_needed((discordant + difference) / 2.0, (discordant - difference) / 2.0, alpha)
        rows.append(PowerRow(points=points, seeds=seeds))
    return share, rows


def names(words: Sequence[str]) -> str:
    """Return "a, b and c"."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _finding(task: str, cells: Sequence[CellSummary], couples: Sequence[Couple], scope: str) -> Finding:
    order = ranked([cell for cell in cells if cell.episodes])
    if not order:
        return Finding(task=task, scope=scope, lead="Nothing could be run.", text="", claims=())
    leader, *others = order
    if not others:
        lead = f"Only {leader.controller} was run: {_score(leader)}."
        return Finding(task=task, scope=scope, lead=lead, text="", claims=())
    name = leader.controller
    met = [couple for couple in couples if couple.task == task and name in (couple.a, couple.b)]
    of_other = {each.second: each for each in (claim(couple, name) for couple in met)}
    claims = [of_other[other.controller] for other in others if other.controller in of_other]
    unmet = [other.controller for other in others if other.controller not in of_other]
    alike = [each.second for each in claims if each.better is None]
    beaten = [each for each in claims if each.better == name]
    ahead = [each.second for each in claims if each.better == each.second]
    if not (alike or ahead or unmet):
        lead = f"{name} wins: {_score(leader)}."
    else:
        lead = "No single winner." if beaten or not alike else "No difference found."
    return Finding(
        task=task,
        scope=scope,
        lead=lead,
        text=_text(leader, [other for other in others if other.controller in alike], beaten, ahead, unmet),
        claims=tuple(claims),
    )


def _score(cell: CellSummary) -> str:
    return f"{cell.successes} of {cell.episodes} ({100 * cell.successes / cell.episodes:.1f} %)"


def _text(
    leader: CellSummary,
    alike: Sequence[CellSummary],
    beaten: Sequence[Claim],
    ahead: Sequence[str],
    unmet: Sequence[str],
) -> str:
    name, said = leader.controller, []
    if alike:
        scores = names([f"{cell.controller} ({cell.successes}/{cell.episodes})" for cell in alike])
        verb = "is" if len(alike) == 1 else "are"
        said.append(f"{scores} {verb} {NOT_DISTINGUISHABLE} from {name} ({leader.successes}/{leader.episodes})")
    if beaten:
        least = min(each.difference for each in beaten)
        by = f"{least:.1f} points" if len(beaten) == 1 else f"at least {least:.1f} points"
        said.append(f"{name} beats {names([each.second for each in beaten])} by {by}")
    if ahead:
        said.append(f"on the seeds that they share, {names(ahead)} did better than {name}")
    if unmet:
        said.append(f"{name} shares no seed with {names(unmet)}")
    return f"{'; '.join(said)}." if said else ""


def ranked(cells: Sequence[CellSummary]) -> list[CellSummary]:
    """Return the cells by success rate, the best first; of equals the one of more episodes, then by name."""
    return sorted(cells, key=lambda c: (-c.successes / max(c.episodes, 1), -c.episodes, c.controller))


def _turned(difference: Difference | None) -> Difference | None:
    if difference is None:
        return None
    return Difference(seeds=difference.seeds, mean=-difference.mean, low=-difference.high, high=-difference.low)
