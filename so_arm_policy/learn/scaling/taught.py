"""One point of a learning curve: System 1 trained on so many demonstrations, as a bundle.

Every point has the same System 2, the same number of batches and the same order of demonstrations.
"""

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.mapping import from_mapping, to_mapping
from so_arm_policy.learn.demonstrations.labelled import Demonstrations
from so_arm_policy.learn.lessons.action_batches import context_digest
from so_arm_policy.learn.recipe import System2, Training
from so_arm_policy.learn.scaling.grid import lasting
from so_arm_policy.learn.scaling.lowest import LowestLoss
from so_arm_policy.learn.scaling.nested import nested
from so_arm_policy.learn.train import train_action
from so_arm_policy.policy.manifest import FILE_NAME, read_manifest

LOOKS = 10  # at the held-out loss, in a training
FACT = "learning_curve"  # among what a manifest says of its training


@dataclass(frozen=True, kw_only=True)
class Taught:
    """What the manifest of a point says of it.

    demonstrations: of each task. kept_at: step of the lowest held-out loss, whose weights these are; loss, last_loss:
    there and at the end. recipe: sixteen hex digits that name all that the weights follow from.
    """

    demonstrations: int
    steps: int
    kept_at: int
    loss: float
    last_loss: float
    minutes: float
    recipe: str


def teach(training: Training, system2: System2, count: int, out: Path) -> Taught:
    """Train System 1 on `count` demonstrations of each task and export it to `out`, or find it there.

    Goes on where a killed training stopped. Raises InputError for more demonstrations than there are, ConfigError for
    a bundle in `out` that is of another training.
    """
    data = training.lessons.data
    assert isinstance(data, Demonstrations)
    loop = lasting(system2.config.action, system2.config.action.steps)
    loop = dataclasses.replace(loop, watch_every=max(1, loop.steps // LOOKS))
    config = dataclasses.replace(system2.config, action=loop)
    episodes = nested(data, count, config.seed)
    follows = (
        config.expert,
        config.action,
        config.action_batch,
        config.seed,
        data.digest,
        context_digest(system2.context),
    )
    recipe = hashlib.sha256(f"{follows} {count}".encode()).hexdigest()[:16]
    if (out / FILE_NAME).is_file():
        return _found(out, recipe)
    folder = training.run / training.family / str(count)
    sizes = config.expert.horizon, config.expert.prefix
    lowest = LowestLoss(
        folder / "lowest.pt", recipe, training.lessons.actions(data.held_out(), system2.context, *sizes)
    )
    batches = training.lessons.actions(episodes, system2.context, *sizes)
    expert, effort = train_action(config, data, batches, folder, lowest, taught=episodes)
    lowest.restore(expert)
    taught = Taught(
        demonstrations=count,
        steps=effort.steps,
        kept_at=lowest.step,
        loss=round(lowest.losses[lowest.step], 5),
        last_loss=round(lowest.losses[effort.steps], 5),
        minutes=round(effort.seconds / 60, 2),
        recipe=recipe,
    )
    training.export(system2.encoder, expert, out, {FACT: to_mapping(taught)})
    return taught


def _found(out: Path, recipe: str) -> Taught:
    said = read_manifest(out).training.get(FACT)
    taught = from_mapping(Taught, said, f"{out / FILE_NAME}: training.{FACT}")
    if taught.recipe != recipe:
        raise ConfigError(
            f"{out}: got a bundle of another training ({taught.steps} steps, recipe {taught.recipe}), expected recipe "
            f"{recipe}; give another --out, or remove it"
        )
    return taught
