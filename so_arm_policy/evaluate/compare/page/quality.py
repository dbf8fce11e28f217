"""Who is quicker, smoother or thriftier, said only where a test says so."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from so_arm_policy.evaluate.compare.holm import holm
from so_arm_policy.evaluate.compare.pairs import Pairs, mcnemar_p
from so_arm_policy.evaluate.compare.rows import EpisodeRow
from so_arm_policy.evaluate.compare.summary import CellSummary, Couple
from so_arm_policy.evaluate.compare.verdicts import A_BETTER, ALPHA, B_BETTER

# What of a success is tested, and 1 where more of it is better, -1 where less is.
TESTED: dict[str, tuple[Callable[[EpisodeRow], float | None], int]] = {
    "time_s": (lambda row: row.time_s, -1),
    "smoothness": (lambda row: row.log_dimensionless_jerk, 1),
    "energy_j": (lambda row: row.energy_j, -1),
}
SUCCESS = "success"


@dataclass(frozen=True, kw_only=True)
class SignTest:
    """Exact sign test of a metric on the seeds on which both a and b succeeded.

    a_better, b_better: seeds; p_holm: corrected for all that were judged together.
    """

    task: str
    metric: str
    a: str
    b: str
    a_better: int
    b_better: int
    p_holm: float

    @property
    def better(self) -> str | None:
        """Name of the better one; None where the seeds do not say so."""
        if not self.p_holm <= ALPHA or self.a_better == self.b_better:
            return None
        return self.a if self.a_better > self.b_better else self.b


def sign_tests(rows: Sequence[EpisodeRow]) -> list[SignTest]:
    """Test TESTED of every two controllers on every task; Holm's correction is for all of these together.

    The sign test makes no assumption on how the differences are spread; it is that of the median (Conover, "Practical
    nonparametric statistics", 1999, chapter 3.4). Ties do not count.
    """
    good: dict[tuple[str, str], dict[int, EpisodeRow]] = {}
    for row in rows:
        if row.success:
            good.setdefault((row.task, row.controller), {})[row.seed] = row
    found = []
    for (key_a, of_a), (key_b, of_b) in combinations(good.items(), 2):
        seeds = of_a.keys() & of_b.keys()
        if key_a[0] != key_b[0] or not seeds:
            continue
        for metric, (value, sign) in TESTED.items():
            values = [(value(of_a[seed]), value(of_b[seed])) for seed in seeds]
            apart = [sign * (x - y) for x, y in values if x is not None and y is not None]
            counted = Pairs(both=0, only_a=sum(d > 0 for d in apart), only_b=sum(d < 0 for d in apart), neither=0)
            found.append((key_a[0], metric, key_a[1], key_b[1], counted))
    corrected = holm([mcnemar_p(counted) for *_, counted in found])
    return [
        SignTest(task=task, metric=metric, a=a, b=b, a_better=n.only_a, b_better=n.only_b, p_holm=p)
        for (task, metric, a, b, n), p in zip(found, corrected, strict=True)
    ]


def best(
    cells: Sequence[CellSummary], couples: Sequence[Couple], tests: Sequence[SignTest]
) -> set[tuple[str, str, str]]:
    """Return (task, controller, metric) of those that a test calls better than every other one of their task.

    Of success: than every other controller that ran; of a metric: than every other one that ever succeeded. Where the
    table's own figure does not agree with the test, nobody is best.
    """
    found = set()
    for task in dict.fromkeys(cell.task for cell in cells):
        mine = [cell for cell in cells if cell.task == task and cell.episodes]
        won = {(x, y) for c in couples if c.task == task for x, y in _won(c)}
        rates = {cell.controller: cell.successes / cell.episodes for cell in mine}
        found |= {(task, name, SUCCESS) for name in _beating(rates, won)}
        for metric, (_, sign) in TESTED.items():
            shown = {c.controller: getattr(c, metric) for c in mine if getattr(c, metric) is not None}
            of_metric = [t for t in tests if (t.task, t.metric) == (task, metric)]
            won = {(t.better, t.b if t.better == t.a else t.a) for t in of_metric if t.better is not None}
            found |= {(task, name, metric) for name in _beating({k: sign * v for k, v in shown.items()}, won)}
    return found


def _won(couple: Couple) -> list[tuple[str, str]]:
    return {A_BETTER: [(couple.a, couple.b)], B_BETTER: [(couple.b, couple.a)]}.get(couple.judged.verdict, [])


def _beating(values: Mapping[str, float], won: set[tuple[str, str]]) -> list[str]:
    """Return those who won against all others, of whom there must be some, and whose value is the largest, too."""
    return [
        name
        for name, value in values.items()
        if len(values) > 1
        and all((name, other) in won and value > least for other, least in values.items() if other != name)
    ]
