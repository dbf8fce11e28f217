"""Success against the number of demonstrations, beside controllers that need none: table, values and text."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.evaluate.compare.crossing import Crossing, crossing
from so_arm_policy.evaluate.compare.rows import EpisodeRow
from so_arm_policy.evaluate.statistics import wilson_interval

WITHIN = 0.1  # of a baseline's success rate, where that is asked beside the whole of it
TRUTH = {"True": True, "False": False}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One episode, a line of the table. demonstrations: of each task that the controller learnt from; None: a baseline.

    controller: of a learner its family, of any other policy the id of its bundle.
    """

    task: str
    controller: str
    sees: str
    demonstrations: int | None
    seed: int
    success: bool


COLUMNS = tuple(field.name for field in fields(Trial))


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Successes in episodes. low, high: 95 % Wilson interval."""

    successes: int
    episodes: int
    low: float
    high: float

    @property
    def text(self) -> str:
        """As text for people."""
        return f"{self.successes}/{self.episodes} ({100 * self.low:.0f}..{100 * self.high:.0f} %)"


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """One learner on one task. points: by demonstrations, ascending; levels: of baselines, by name; sees: theirs."""

    task: str
    learner: str
    points: dict[int, Rate]
    levels: dict[str, Rate]
    sees: dict[str, str]
    crossings: tuple[Crossing, ...]


def trials_of(rows: Sequence[EpisodeRow], learners: Mapping[str, int]) -> list[Trial]:
    """Return the undisturbed episodes of `rows` as lines of the table; of those whose controller could be made.

    learners: demonstrations of each controller that learnt; the others are baselines.
    """
    return [
        Trial(
            task=row.task,
            controller=row.family if row.controller in learners else row.bundle or row.controller,
            sees=row.sees,
            demonstrations=learners.get(row.controller),
            seed=row.seed,
            success=row.success,
        )
        for row in rows
        if not row.perturbation and row.failure_stage != "setup"
    ]


def write_trials(path: Path, trials: Sequence[Trial]) -> None:
    """Write the table as CSV, one line for each episode; no demonstrations: empty. Raises ConfigError."""
    partial = path.with_suffix(".partial")
    try:
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(asdict(trial) for trial in trials)
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: got {error.strerror}, expected a file that can be written") from error


def read_trials(path: Path) -> list[Trial]:
    """Read what `write_trials` wrote. Raises InputError that names the line."""
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: got {error}, expected the table of `so-arm learning-curve`") from error
    if not lines or tuple(lines[0]) != COLUMNS:
        raise InputError(f"{path}: got columns {lines[:1]}, expected {list(COLUMNS)}")
    return [_trial(f"{path}:{number}", line) for number, line in enumerate(lines[1:], 2)]


def learning_curves(trials: Sequence[Trial], margins: Sequence[float] = (0.0, WITHIN)) -> list[LearningCurve]:
    """Return the curve of each learner on each task, in the order of `trials`.

    Crossings are of the seeds that all counts and the baseline share. Raises InputError for two episodes of one seed,
    ConfigError.
    """
    cells: dict[tuple[str, str, int | None], dict[int, bool]] = {}
    for trial in trials:
        cell = cells.setdefault((trial.task, trial.controller, trial.demonstrations), {})
        if trial.seed in cell:
            raise InputError(f"learning curve: got two episodes of {trial}, expected one of each seed")
        cell[trial.seed] = trial.success
    sees = {trial.controller: trial.sees for trial in trials if trial.demonstrations is None}
    learners = dict.fromkeys((task, name) for task, name, count in cells if count is not None)
    return [_curve(task, name, cells, sees, margins) for task, name in learners]


def lines(curves: Sequence[LearningCurve]) -> list[str]:
    """Return the curves as text: success by demonstrations, the baselines, and where these are reached."""
    text: list[str] = []
    for curve in curves:
        text.append(f"{curve.task}: success of {curve.learner} by demonstrations of each task (95 % Wilson)")
        width = max(len(name) for name in (*curve.levels, *map(str, curve.points)))
        text += [f"  {count!s:>{width}s}  {rate.text}" for count, rate in curve.points.items()]
        text += [f"  {name:>{width}s}  {rate.text}, {curve.sees[name]}" for name, rate in curve.levels.items()]
        text += [f"  {curve.learner} {each.text}" for each in curve.crossings]
    return text


def _trial(where: str, line: Sequence[str]) -> Trial:
    try:
        said = dict(zip(COLUMNS, line, strict=True))
        count = int(said["demonstrations"]) if said["demonstrations"] else None
        if count is not None and not count > 0:
            raise ValueError(f"{count} demonstrations")
        return Trial(
            task=said["task"],
            controller=said["controller"],
            sees=said["sees"],
            demonstrations=count,
            seed=int(said["seed"]),
            success=TRUTH[said["success"]],
        )
    except (ValueError, KeyError) as error:
        raise InputError(f"{where}: got {error} in {list(line)}, expected {list(COLUMNS)}") from error


def _curve(
    task: str,
    learner: str,
    cells: Mapping[tuple[str, str, int | None], Mapping[int, bool]],
    sees: Mapping[str, str],
    margins: Sequence[float],
) -> LearningCurve:
    learnt = {count: found for (of, name, count), found in cells.items() if (of, name) == (task, learner) and count}
    counts = sorted(learnt)
    baselines = {name: found for (of, name, count), found in cells.items() if of == task and count is None}
    crossings = []
    for name, found in baselines.items():
        seeds = sorted(set(found).intersection(*learnt.values()))
        if seeds:
            learned = np.array([[learnt[count][seed] for seed in seeds] for count in counts])
            level = np.array([found[seed] for seed in seeds])
            crossings += [crossing(name, counts, learned, level, margin) for margin in margins]
    return LearningCurve(
        task=task,
        learner=learner,
        points={count: _rate(learnt[count].values()) for count in counts},
        levels={name: _rate(found.values()) for name, found in baselines.items()},
        sees={name: sees[name] for name in baselines},
        crossings=tuple(crossings),
    )


def _rate(successes: Iterable[bool]) -> Rate:
    found = list(successes)
    low, high = wilson_interval(sum(found), len(found))
    return Rate(successes=sum(found), episodes=len(found), low=low, high=high)
