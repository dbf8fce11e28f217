"""Nested sets of demonstrations: more of them are the fewer ones and others, in an order that follows from a seed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from so_arm_policy.core.arrays import BoolArray, IntArray
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.learn.datasets import lerobot_format as lf
from so_arm_policy.learn.demonstrations.collect import CollectConfig
from so_arm_policy.learn.demonstrations.labelled import Demonstrations
from so_arm_policy.learn.demonstrations.recordings import held_out_of

ORDER = 7  # tells these draws from others of the same seed


def check_counts(counts: Sequence[int]) -> None:
    """Raise ConfigError unless there are two counts or more, each larger than the one before."""
    if not (len(counts) > 1 and counts[0] > 0 and all(a < b for a, b in zip(counts, counts[1:], strict=False))):
        raise ConfigError(f"--counts: got {list(counts)}, expected two or more, positive, each larger than the last")


def nested(data: Demonstrations, count: int, seed: int) -> BoolArray:
    """Return which episodes, (E,), to train on so that there are `count` of each task, none of them held out.

    Those of a smaller count are among them. Raises InputError where a task has not so many.
    """
    chosen = np.zeros(data.episodes, dtype=np.bool_)
    for number, usable in enumerate(_usable(data)):
        if not 0 < count <= len(usable):
            got = f"{count} demonstrations of {data.tasks[number].name} to train on"
            raise InputError(f"learning curve: got {got}, expected 1..{len(usable)}: the others are held out")
        chosen[np.random.default_rng([seed, ORDER, number]).permutation(usable)[:count]] = True
    return chosen


def _usable(data: Demonstrations) -> list[IntArray]:
    """Return the episodes of each task that may be trained on."""
    usable = data.demonstrated & ~data.held_out()
    return [np.flatnonzero(usable & (data.task_of == number)) for number in range(len(data.tasks))]


def episodes_for(count: int, folders: Sequence[Path]) -> int:
    """Return how many demonstrations of each task leave `count` to train on, in whole shards.

    As many as the fullest of the datasets in `folders` has, where that is more.
    """
    shard = CollectConfig().shard
    lists = lf.EPISODES.replace("{chunk_index:03d}", "*").replace("{file_index:03d}", "*")
    needed = shard
    while left_of(needed, len(folders)) < count:
        needed += shard
    return max(needed, *(shard * len(list(folder.glob(lists))) for folder in folders))


def left_of(episodes: int, tasks: int) -> int:
    """Return how many of `episodes` of each task are not held out, of the task that has fewest. Raises InputError."""
    return min(int(part.sum()) for part in np.split(~held_out_of(episodes * tasks), tasks))
