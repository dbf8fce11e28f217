"""A grid of trainings of System 1, over sizes and numbers of demonstrations, on one System 2.

Every training sees each of its demonstrations equally often, so compute grows with size times demonstrations, as in
the law of Hoffmann et al., 2022.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from so_arm_policy.core.errors import InputError
from so_arm_policy.core.mapping import from_mapping, to_mapping
from so_arm_policy.learn.demonstrations.recordings import Recordings
from so_arm_policy.learn.families.expert import ActionExpert, ExpertConfig
from so_arm_policy.learn.lessons.action_batches import ActionBatch
from so_arm_policy.learn.lessons.lessons import Lessons
from so_arm_policy.learn.loop import LoopConfig
from so_arm_policy.learn.train import Drawn, TrainConfig, train_action

CHECKED = 2048  # held-out chunks that a loss is taken from
HEAD = 32  # channels of a head


@dataclass(frozen=True, kw_only=True)
class Point:
    """One training: parameters of System 1, demonstrations, samples seen, floating point operations, held-out loss.

    success: share of episodes in closed loop, where that was asked for.
    """

    family: str
    width: int
    parameters: int
    demonstrations: int
    samples: int
    flops: float
    loss: float
    minutes: float
    success: float | None = None


def sized(config: ExpertConfig, width: int) -> ExpertConfig:
    """Return `config` with another width and heads of 32 channels. Raises ConfigError for sizes that do not fit."""
    return dataclasses.replace(config, width=width, heads=max(1, width // HEAD))


def few(data: Recordings, count: int) -> npt.NDArray[np.bool_]:
    """Return which episodes, (E,), to train on so that there are `count`, each task with its share; none held out."""
    usable = np.flatnonzero(data.demonstrated & ~data.held_out())
    if not 0 < count <= len(usable):
        raise InputError(f"scaling: got {count} demonstrations to train on, expected 1..{len(usable)}")
    # Episodes lie one task after the other: evenly spaced ones are of all tasks.
    chosen = usable[np.linspace(0, len(usable) - 1, count).round().astype(int)]
    return np.isin(np.arange(data.episodes), chosen)


def share(steps: int, count: int, most: int) -> int:
    """Return the batches for `count` demonstrations, where `most` get `steps`."""
    return max(1, round(steps * count / most))


def lasting(loop: LoopConfig, steps: int) -> LoopConfig:
    """Return `loop` with that many batches.

    A short training warms up for a fifth of them at most, and averages its weights over a tenth: the average of a long
    one would still be where it began.
    """
    average = min(loop.average, 1.0 - 10.0 / max(steps, 20))
    return dataclasses.replace(loop, steps=steps, warmup=min(loop.warmup, steps // 5), average=average)


def flops_each(points: Sequence[Point]) -> float:
    """Return the operations for a parameter and a demonstration. Raises InputError where points differ in it."""
    each = np.array([point.flops / (point.parameters * point.demonstrations) for point in points])
    if each.max() > 1.1 * each.min():
        got = ", ".join(f"{p.samples / p.demonstrations:.3g}" for p in points)
        raise InputError(f"scaling: got {got} samples for each demonstration, expected as many at every point")
    return float(each.mean())


def train_point(
    config: TrainConfig, loop: LoopConfig, lessons: Lessons, context: Tensor, count: int, folder: Path
) -> tuple[ActionExpert, Point]:
    """Train one size on `count` demonstrations; goes on where a killed run stopped."""
    sizes = config.expert.horizon, config.expert.prefix
    each = dataclasses.replace(config, action=loop)
    data = lessons.data
    source = lessons.actions(few(data, count), context, *sizes)
    expert, effort = train_action(each, data, source, folder)
    parameters = sum(p.numel() for p in expert.parameters()) - sum(p.numel() for p in expert.context.parameters())
    samples = loop.steps * config.action_batch
    point = Point(
        family=expert.family,
        width=config.expert.width,
        parameters=parameters,
        demonstrations=count,
        samples=samples,
        # Forward and backward: 6 for each parameter and row, after Kaplan et al., 2020.
        flops=6.0 * parameters * samples * config.expert.horizon,
        loss=held_out_loss(expert, lessons.actions(data.held_out(), context, *sizes)),
        minutes=round(effort.seconds / 60, 2),
    )
    return expert, point


@torch.no_grad()
def held_out_loss(expert: ActionExpert, batches: Drawn[ActionBatch]) -> float:
    """Return the family's own loss on chunks of episodes never trained on; the same chunks and noise for every size."""
    batch = batches.draw(np.random.default_rng(5), CHECKED)
    torch.manual_seed(5)
    return float(expert.loss(batch.positions, expert.project(batch.context), batch.state))


def read_points(path: Path) -> list[Point]:
    """Return the points written so far, one JSON object a line. Raises InputError."""
    if not path.exists():
        return []
    points = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            points.append(from_mapping(Point, json.loads(line), f"{path}:{number}"))
        except ValueError as error:
            raise InputError(f"{path}:{number}: got {error}, expected a point as JSON") from error
    return points


def append_point(path: Path, point: Point) -> None:
    """Add a line to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(to_mapping(point)) + "\n")


def missing(points: Sequence[Point], widths: Sequence[int], counts: Sequence[int]) -> list[tuple[int, int]]:
    """Return the (width, demonstrations) of the grid that are not among `points`, small ones first."""
    done = {(point.width, point.demonstrations) for point in points}
    return [(width, count) for width in sorted(widths) for count in sorted(counts) if (width, count) not in done]
