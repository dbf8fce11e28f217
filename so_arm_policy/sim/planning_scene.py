"""What a planned motion must not touch: the arms themselves, the table, and what stands on it or is carried.

The model is compiled once; `show` moves the things in it.
"""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from so_arm_policy.control.motion.clear import Near
from so_arm_policy.control.tabletop import Tabletop, Thing
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.keep_out import KeepOut
from so_arm_policy.core.mapping import to_mapping
from so_arm_policy.core.objects import HALF_SIZES, KINDS, OBJECT_COUNT
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.sim.arm_links import arm_links
from so_arm_policy.sim.clearance import HAND, STANDING, add_arms, add_obstacles, command_pairs
from so_arm_policy.sim.model import add_bowl, add_plate
from so_arm_policy.sim.pairs import Nearest, Pairs

PLACES = {"bowl": add_bowl, "plate": add_plate}
LOOK_AHEAD_M = 0.01
MOST_THINGS = 2 * OBJECT_COUNT  # who looks may see what is not there
_AWAY_M = (0.0, 0.0, 100.0)  # where shapes that are not there are kept, in the frame of what carries them


@dataclass(frozen=True, kw_only=True)
class Margins:
    """How far apart two must stay, m, by what they are to each other; what else moves stays as far from what stands.

    As in the supervisor's configuration, and a little more, so that it finds nothing to correct. thing: a link and a
    thing on the table; place: a link and the bowl or the plate; carried: what an arm carries and anything but its hand;
    keep_out: a link, or what is carried, and a keep-out volume.
    """

    self: float = 0.006
    table: float = 0.002
    arms: float = 0.022
    hands: float = 0.002
    keep_out: float = 0.015
    thing: float = 0.004
    place: float = 0.003
    carried: float = 0.002

    def __post_init__(self) -> None:
        """Refuse margins that are no distances. Raises ConfigError."""
        for name, value in to_mapping(self).items():
            if not 0.0 <= value <= 0.12:
                raise ConfigError(f"margins: got {name} {value}, expected 0..0.12 m")


class PlanningScene(Pairs):
    """Answers how near a pose brings the arms, and what they carry, to all else. Not thread-safe: one for each thread.

    Nothing stands on the table until `show`.
    """

    def __init__(
        self,
        robot: RobotConfig,
        keep_outs: Sequence[KeepOut] = (),
        margins: Margins = Margins(),  # noqa: B008 - frozen
        most_things: int = MOST_THINGS,
    ) -> None:
        """Build the model, in a second or two, with room for `most_things` things. Raises ConfigError."""
        if not 0 <= most_things <= 100:
            raise ConfigError(f"planning scene: got most_things {most_things}, expected 0..100")
        self._robot, self._most, self._keeps_out = robot, most_things, bool(keep_outs)
        self._margins: dict[str, float] = to_mapping(margins)
        spec = mujoco.MjSpec()
        add_arms(spec, robot)
        still = add_obstacles(spec, robot, keep_outs)
        places = {name: _add_place(spec, name) for name in PLACES}
        for i, kind in itertools.product(range(most_things), KINDS):
            _add_thing(spec.worldbody.add_body(name=_slot(i, kind)), _slot(i, kind), kind)
        for arm, kind in itertools.product(robot.arms, KINDS):
            _add_thing(spec.body(arm.prefix + HAND[0]), _held(arm.prefix, kind), kind)
        self._parts: dict[str, tuple[str, ...]] = {name: tuple(parts) for name, parts in places.items()}
        kinds = command_pairs(robot, still)
        kinds |= self._pairs_of_things(still)
        super().__init__(spec, robot, kinds, {kind: m + LOOK_AHEAD_M for kind, m in self._margins.items()})
        self._movable = {name for names in self._parts.values() for name in names}
        self._movable |= {_slot(i, kind) for i in range(most_things) for kind in KINDS}
        self._held = {_held(arm.prefix, kind) for arm in robot.arms for kind in KINDS}
        self._movable |= self._held
        self._all = dict(self.asked)
        self._words: dict[str, str] = {part: name for name, parts in self._parts.items() for part in parts}
        self._switch(())

    def show(
        self,
        table: Tabletop,
        *,
        ignored: Collection[int] = (),
        ignored_places: Collection[str] = (),
        carried: Mapping[int, int] | None = None,
        q: FloatArray | None = None,
    ) -> None:
        """Put what is on `table` where it is; what was shown before is forgotten.

        ignored: numbers of things that may be touched, such as the one to grasp; ignored_places likewise. carried: arm
        number -> number of the thing in its hand, which is where `table` has it when the joints are at `q` (n,) rad,
        and goes with the hand. Raises InputError for too many things, and for numbers and names that do not exist.
        """
        carried = carried or {}
        self._check(table, [*ignored, *carried.values()], ignored_places, carried)
        if carried:
            if q is None:
                raise InputError("planning scene: got no joints, expected those at which the thing is carried")
            self.place(q)
        shown = []
        for number, thing in enumerate(table.things):
            self._words[_slot(number, thing.kind)] = thing.words
            if number not in ignored and number not in carried.values():
                self._put(self.model.body(_slot(number, thing.kind)).id, thing.position, thing.R_world_thing)
                shown.append(_slot(number, thing.kind))
        for name, floor in table.places.items():
            if name not in ignored_places:
                # What is seen is the middle of the floor; the drawing begins on the table, as all places stand on it.
                self._put(self.model.body(name).id, np.array([*floor[:2], 0.0]), np.eye(3))
                shown += self._parts[name]
        shown += [self._take(arm, table.things[number]) for arm, number in carried.items()]
        self._switch(shown)

    def near(self, q: FloatArray) -> Near:
        """Return who is nearest to being too near at joints `q` (n,) rad; a `Clear`. Raises ShapeError."""
        found = self.nearest(q)
        nearest = min(found, key=lambda pair: pair.distance_m - self._margins[pair.kind])
        kept_out = next(pair for pair in found if pair.kind == "keep_out") if self._keeps_out else None
        return self._near(nearest, None if kept_out is None else self._near(kept_out))

    def _near(self, pair: Nearest, kept_out: Near | None = None) -> Near:
        return Near(
            room_m=pair.distance_m - self._margins[pair.kind],
            distance_m=pair.distance_m,
            first=self._words.get(pair.first, pair.first),
            second=self._words.get(pair.second, pair.second),
            kept_out=kept_out,
        )

    def _check(
        self, table: Tabletop, numbers: Iterable[int], places: Iterable[str], carried: Mapping[int, int]
    ) -> None:
        if len(table.things) > self._most:
            raise InputError(f"planning scene: got {len(table.things)} things, expected at most {self._most}")
        for number in numbers:
            if not 0 <= number < len(table.things):
                raise InputError(f"planning scene: got thing {number}, expected 0..{len(table.things) - 1}")
        for name in (*places, *table.places):
            if name not in PLACES:
                raise InputError(f"planning scene: got place {name!r}, expected one of {list(PLACES)}")
        for arm in carried:
            if not 0 <= arm < len(self._robot.arms):
                raise InputError(f"planning scene: got arm {arm}, expected 0..{len(self._robot.arms) - 1}")

    def _put(self, body: int, position: FloatArray, R_world_body: FloatArray) -> None:
        self.model.body_pos[body] = position
        mujoco.mju_mat2Quat(self.model.body_quat[body], np.ascontiguousarray(R_world_body).ravel())

    def _take(self, arm: int, thing: Thing) -> str:
        """Fix `thing` to the hand where it is now. Returns the name of its shape there."""
        prefix = self._robot.arms[arm].prefix
        hand, name = self.data.body(prefix + HAND[0]), _held(prefix, thing.kind)
        R_world_hand = hand.xmat.reshape(3, 3)
        geom = self.model.geom(name).id
        self.model.geom_pos[geom] = R_world_hand.T @ (thing.position - hand.xpos)
        R_hand_thing = np.ascontiguousarray(R_world_hand.T @ thing.R_world_thing)
        mujoco.mju_mat2Quat(self.model.geom_quat[geom], R_hand_thing.ravel())
        self._words[name] = thing.words
        return name

    def _switch(self, shown: Iterable[str]) -> None:
        """Ask only about pairs of what is there, and keep the rest away."""
        gone = self._movable - set(shown)
        for name in gone:
            geom = self.model.geom(name)
            if name in self._held:
                self.model.geom_pos[geom.id] = _AWAY_M
            else:
                self.model.body_pos[geom.bodyid[0]] = _AWAY_M
        self.asked = {ids: found for ids, found in self._all.items() if not gone & set(found[1:])}

    def _pairs_of_things(self, still: Mapping[str, str]) -> dict[tuple[str, str], str]:
        """Return the kind of every pair that needs a thing or a place."""
        links = [link.name for link in arm_links() if link.name not in STANDING]
        things = [_slot(i, kind) for i in range(self._most) for kind in KINDS]
        places = [part for parts in self._parts.values() for part in parts]
        pairs: dict[tuple[str, str], str] = {}
        for arm, link in itertools.product(self._robot.arms, links):
            pairs |= {(arm.prefix + link, thing): "thing" for thing in things}
            pairs |= {(arm.prefix + link, part): "place" for part in places}
        for arm, kind in itertools.product(self._robot.arms, KINDS):
            held = _held(arm.prefix, kind)
            others = [a.prefix + link for a in self._robot.arms for link in (*STANDING, *links)]
            hand = {arm.prefix + link for link in HAND}
            others = [name for name in others if name not in hand] + [*things, *places, *still]
            pairs |= {(held, other): "keep_out" if still.get(other) == "keep_out" else "carried" for other in others}
        for left, right in itertools.combinations(self._robot.arms, 2):
            both = itertools.product(KINDS, KINDS)
            pairs |= {(_held(left.prefix, a), _held(right.prefix, b)): "carried" for a, b in both}
        return pairs


def _slot(number: int, kind: str) -> str:
    return f"thing {number} {kind}"


def _held(prefix: str, kind: str) -> str:
    return f"{prefix}held {kind}"


def _add_thing(body: mujoco.MjsBody, name: str, kind: str) -> None:
    x, y, z = HALF_SIZES[kind]
    can = kind == "can"
    shape = mujoco.mjtGeom.mjGEOM_CYLINDER if can else mujoco.mjtGeom.mjGEOM_BOX
    size = (x, z, 0) if can else (x, y, z)
    # Placed and turned within the hand: else MuJoCo takes for granted that it always is as the hand is.
    pose = {} if body.name == name else {"pos": (0.1, 0.1, 0.1), "quat": (0.5, 0.5, 0.5, 0.5)}
    body.add_geom(name=name, type=shape, size=size, contype=0, conaffinity=0, **pose)


def _add_place(spec: mujoco.MjSpec, name: str) -> list[str]:
    """Add a place as the simulator has it. Returns the names of its parts."""
    PLACES[name](spec)
    parts = spec.body(name).geoms
    for i, part in enumerate(parts):
        part.name, part.contype, part.conaffinity = f"{name} {i}", 0, 0
    return [part.name for part in parts]
