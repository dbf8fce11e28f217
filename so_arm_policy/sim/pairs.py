"""Distances between named pairs of shapes in a MuJoCo model, at given joints."""

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError, ShapeError
from so_arm_policy.core.robot import RobotConfig

# How exact MuJoCo's search for the depth of two hulls in each other has to be, m.
DEPTH_TOLERANCE_M = 1e-4


@dataclass(frozen=True, kw_only=True, slots=True)
class Nearest:
    """The nearest pair of one kind.

    distance_m: where negative, about how deep they are in each other; how far was looked where nothing is nearer, with
    empty names. first: a link, with its arm's prefix, or a thing that is carried. second: a link, "table", a keep-out's
    name, or what else stands there.
    """

    kind: str
    distance_m: float
    first: str
    second: str


class Pairs:
    """Answers how near named shapes are to each other. Deterministic. Not thread-safe: one for each thread."""

    def __init__(
        self,
        spec: mujoco.MjSpec,
        robot: RobotConfig,
        kinds: Mapping[tuple[str, str], str],
        looking_m: Mapping[str, float],
    ) -> None:
        """Compile `spec`, which has the joints of `robot`.

        kinds: of every pair of names of shapes that is asked about. looking_m: how far it looks for each kind, m; all
        kinds, in the order in which they are answered. Raises ConfigError.
        """
        # Named pairs only: MuJoCo drops far ones by their bounding spheres and needs no other search.
        for (first, second), kind in kinds.items():
            name = f"{first} {second}"
            spec.add_pair(name=name, geomname1=first, geomname2=second, margin=looking_m[kind], gap=0.0)
        spec.option.disableflags = mujoco.mjtDisableBit.mjDSBL_MULTICCD  # the deepest contact of a pair says it all
        spec.option.ccd_tolerance = DEPTH_TOLERANCE_M
        try:
            self.model = spec.compile()
            self.qpos = np.array([self.model.joint(name).qposadr[0] for name in robot.joint_names])
        except (ValueError, KeyError) as error:
            raise ConfigError(f"robot {robot.name!r}: MuJoCo says {error}") from error
        self.data = mujoco.MjData(self.model)
        self._nothing = tuple(
            Nearest(kind=kind, distance_m=far, first="", second="") for kind, far in looking_m.items()
        )
        # Of each pair of shapes that is asked about: the number of its kind, and the names.
        self.asked: dict[tuple[int, ...], tuple[int, str, str]] = {}
        order = list(looking_m)
        for (first, second), kind in kinds.items():
            ids = self.model.geom(first).id, self.model.geom(second).id
            # MuJoCo tells the two in an order of its own.
            self.asked[ids] = self.asked[ids[::-1]] = order.index(kind), first, second

    def place(self, q: FloatArray) -> None:
        """Put the joints at `q` (n,) rad. Raises ShapeError."""
        if np.shape(q) != self.qpos.shape or not np.isfinite(q).all():
            raise ShapeError(f"joint positions: got {q}, expected {len(self.qpos)} finite numbers")
        self.data.qpos[self.qpos] = q
        mujoco.mj_kinematics(self.model, self.data)

    def nearest(self, q: FloatArray) -> tuple[Nearest, ...]:
        """Return the nearest pair of each kind, in their order, at joints `q` (n,) rad. Raises ShapeError.

        Each is told truthfully, also deep in the table: what is near enough to matter is for the caller to say.
        """
        self.place(q)
        mujoco.mj_collision(self.model, self.data)
        nearest = list(self._nothing)
        contacts = self.data.contact
        for geoms, distance in zip(contacts.geom.tolist(), contacts.dist.tolist(), strict=True):
            found = self.asked.get(tuple(geoms))
            if found is not None and distance < nearest[found[0]].distance_m:
                number, first, second = found
                kind = nearest[number].kind
                nearest[number] = Nearest(kind=kind, distance_m=distance, first=first, second=second)
        return tuple(nearest)
