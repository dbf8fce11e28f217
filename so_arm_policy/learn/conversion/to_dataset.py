"""Bags to a LeRobot dataset: first everything is heard and put on the grid, then the pictures are heard again."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np

from so_arm_policy.core.errors import InputError
from so_arm_policy.core.mapping import to_mapping
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.bags.reader import STORAGES, Bag
from so_arm_policy.learn.conversion.fill import filled
from so_arm_policy.learn.conversion.listening import ACTION, STATE, Listener
from so_arm_policy.learn.conversion.mapping import Mapping
from so_arm_policy.learn.conversion.pieces import Piece, Tally, pieces
from so_arm_policy.learn.conversion.stretches import Hearing, stretches
from so_arm_policy.learn.conversion.whole_folder import whole_folder
from so_arm_policy.learn.datasets.arrow_files import write_whole
from so_arm_policy.learn.datasets.index import finish
from so_arm_policy.learn.datasets.reader import read_dataset
from so_arm_policy.learn.datasets.units import Units, check_units, to_radians
from so_arm_policy.learn.datasets.writer import DatasetWriter, EpisodeRecord

ORIGIN = "meta/bags.json"  # not LeRobot's; its reader ignores it
REASONS = 8  # told of each kind
SHARD_S = 120.0  # of episodes in one file: its videos are in memory while they are made


@dataclass(frozen=True, kw_only=True, eq=False)
class BagPlan:
    """What becomes of one bag. skipped: messages passed over; damage: of its files."""

    path: Path
    pieces: tuple[Piece, ...]
    hearing: Hearing
    tally: Tally
    skipped: Counter[str]
    damage: Counter[str]


def bags_in(paths: Sequence[Path]) -> list[Path]:
    """Return `paths`, and for a folder that is no bag and holds some, those by name."""
    return [bag for path in paths for bag in (_inside(path) or [path])]


def convert_bags(paths: Sequence[Path], mapping: Mapping, out: Path, instruction: str = "") -> list[BagPlan]:
    """Write the bags at `paths` as the LeRobot dataset `out`, and return what became of each.

    instruction: for bags without one. Raises InputError for a bag that gives no episode, for values in other units than
    the mapping says and for cameras whose pictures differ in size; ConfigError when `out` exists; WriteError. Then
    nothing is left of it.
    """
    robot = mapping.described()
    with whole_folder(out) as folder:
        plans = [plan_bag(path, mapping, robot, instruction) for path in paths]
        _check_sizes(plans)
        _check_units(plans, mapping, robot)
        writer = DatasetWriter(folder=folder, robot=robot, fps=mapping.fps, units=Units(mapping.units))
        records: Iterator[EpisodeRecord] = chain.from_iterable(_records(plan, mapping, robot, folder) for plan in plans)
        groups = _groups([len(piece.times_ns) / mapping.fps for plan in plans for piece in plan.pieces])
        for number, count in enumerate(groups):
            writer.write_shard(number, islice(records, count))
        finish(folder, len(groups))
        write_whole(folder / ORIGIN, json.dumps(_origin(plans, mapping), indent=1).encode())
        read_dataset(folder, robot)  # refuses what nobody could read again
    return plans


def plan_bag(path: Path, mapping: Mapping, robot: RobotConfig, instruction: str = "") -> BagPlan:
    """Hear a bag and put it on the grid. Raises InputError when no episode comes of it, which says why."""
    bag, hearing, tally = Bag(path), Hearing(), Tally()
    words = next((bag.custom[key] for key in mapping.instruction.keys if bag.custom.get(key)), instruction)
    listener = Listener(bag, mapping, robot)
    found = [piece for part in stretches(listener, hearing, words) for piece in pieces(part, mapping, tally)]
    unheard = [role for role in listener.roles if not hearing.counts[role]]
    why = f"no message of {', '.join(unheard)} that can be used" if unheard else "no episode"
    if not found:
        reasons = {"refused frames": tally.refused, "jumps": hearing.jumps}
        reasons |= {"messages passed over": listener.skipped, "damage": bag.damage}
        said = "; ".join(f"{name}: {counted(counts)}" for name, counts in reasons.items() if counts)
        raise InputError(f"bag {path}: got {why}, expected some{f' ({said})' if said else ''}{_hint(tally)}")
    return BagPlan(
        path=path, pieces=tuple(found), hearing=hearing, tally=tally, skipped=listener.skipped, damage=bag.damage
    )


def counted(counts: Counter[str]) -> str:
    """Return counts by reason as text, the most frequent first, and how many the rest are."""
    told = counts.most_common(REASONS)
    rest = counts.total() - sum(number for _, number in told)
    return ", ".join([*(f"{number} {reason}" for reason, number in told), *([f"{rest} others"] if rest else [])])


def _hint(tally: Tally) -> str:
    return "; --instruction says what a bag without words shows" if tally.refused["no instruction"] else ""


def _inside(path: Path) -> list[Path]:
    if not path.is_dir() or _is_bag(path):
        return []
    return sorted(child for child in path.iterdir() if child.is_dir() and _is_bag(child))


def _is_bag(folder: Path) -> bool:
    return any(p.name == "metadata.yaml" or p.suffix in (*STORAGES, ".zstd") for p in folder.iterdir())


def _check_sizes(plans: Sequence[BagPlan]) -> None:
    first = plans[0]
    for plan in plans[1:]:
        for camera, size in plan.hearing.sizes.items():
            if size != first.hearing.sizes[camera]:
                got, expected = (f"{w}x{h}" for h, w in (size, first.hearing.sizes[camera]))
                raise InputError(
                    f"bag {plan.path}: got pictures of {got} from camera {camera!r}, expected {expected} as in"
                    f" {first.path}; set its `size` in the mapping"
                )


def _check_units(plans: Sequence[BagPlan], mapping: Mapping, robot: RobotConfig) -> None:
    for role, source in ((STATE, mapping.state), (ACTION, mapping.action)):
        for plan in plans:
            values = np.concatenate([piece.state if role == STATE else piece.action for piece in plan.pieces])
            check_units(values, robot, Units(source.units), f"bag {plan.path}: {role} ({source.topic})")


def _records(plan: BagPlan, mapping: Mapping, robot: RobotConfig, scratch: Path) -> Iterator[EpisodeRecord]:
    """Yield the episodes of a bag with their pictures, which lie in a nameless file in `scratch` until then."""
    listener = Listener(Bag(plan.path), mapping, robot)
    every = filled(listener, [piece.pictures for piece in plan.pieces], plan.hearing.sizes, scratch)
    for piece, pictures in zip(plan.pieces, every, strict=True):
        yield EpisodeRecord(
            task=piece.task,
            q=to_radians(piece.state, robot, Units(mapping.state.units)),
            action=to_radians(piece.action, robot, Units(mapping.action.units)),
            pictures=pictures,
        )


def _groups(seconds: Sequence[float]) -> list[int]:
    """Return how many episodes go into each shard."""
    groups: list[int] = []
    sum_s = 0.0
    for length_s in seconds:
        if groups and sum_s + length_s <= SHARD_S:
            groups[-1] += 1
            sum_s += length_s
        else:
            groups.append(1)
            sum_s = length_s
    return groups


def _origin(plans: Sequence[BagPlan], mapping: Mapping) -> dict[str, object]:
    episodes = [
        {"bag": plan.path.name, "start_ns": int(piece.times_ns[0]), "frames": len(piece.times_ns)}
        for plan in plans
        for piece in plan.pieces
    ]
    return {"mapping": to_mapping(mapping), "episodes": episodes}
