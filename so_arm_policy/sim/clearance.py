"""How near a pose brings the arms to themselves, the table, each other and keep-out volumes."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError, ShapeError
from so_arm_policy.core.keep_out import KeepOut, KeepOutBox
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.sim.arm_links import WORLD, arm_links

# self: two links of one arm; table: a link and the table; hands: the jaws of one arm and those of another, which meet
# when something is passed over; arms: any other two links of different arms; keep_out: a link and a keep-out volume.
KINDS = ("self", "table", "arms", "hands", "keep_out")
TABLE = "table"
HAND = ("gripper", "moving_jaw")
# A link is the convex hull of its corners, which against the table is exact. Of a hull so many corners are kept: it
# then lies less than 1 mm inside, and asking takes half as long as with all.
HULL_CORNERS = 128
# How exact MuJoCo's search for the depth of two hulls in each other has to be, m.
DEPTH_TOLERANCE_M = 1e-4
# Links of one arm with at most one joint between them touch or come near by design and are never asked about, as in
# MuJoCo itself; jaw against jaw is such a pair. Two pairs have two joints between them, which only turn and open the
# gripper: whatever they do, it leaves them 8 to 14 and 20 to 29 mm apart, which would hide all else.
NEAR_BY_DESIGN = ({"wrist", "moving_jaw"}, {"lower_arm", "gripper"})
# No command moves the base. The shoulder turns about the vertical: its height above the table stays.
STANDING = ("base",)
LEVEL = ("base", "shoulder")


@dataclass(frozen=True, kw_only=True, slots=True)
class Nearest:
    """The nearest pair of one kind.

    kind: one of KINDS. distance_m: where negative, about how deep they are in each other; the margin where nothing is
    nearer, with empty names. first: a link, with its arm's prefix. second: a link, "table" or a keep-out's name.
    """

    kind: str
    distance_m: float
    first: str
    second: str


class Clearance:
    """Answers how near a pose is to a collision. Deterministic. Not thread-safe: one for each thread."""

    def __init__(self, robot: RobotConfig, keep_outs: Sequence[KeepOut] = (), margin_m: float = 0.03) -> None:
        """Build the model, the first in a process within a second or two. The table is endless, its top at world z = 0.

        margin_m: how far it looks, 0 < margin_m <= 1; looking farther takes longer. Raises ConfigError.
        """
        if not 0.0 < margin_m <= 1.0:
            raise ConfigError(f"clearance: got margin {margin_m} m, expected 0 < margin <= 1")
        prefixes = [arm.prefix for arm in robot.arms]
        spec = mujoco.MjSpec()
        _add_arms(spec, robot)
        kinds = _pairs(prefixes, _add_obstacles(spec, keep_outs, prefixes))
        # Named pairs only: MuJoCo drops far ones by their bounding spheres and needs no other search.
        for first, second in kinds:
            spec.add_pair(name=f"{first} {second}", geomname1=first, geomname2=second, margin=margin_m, gap=0.0)
        spec.option.disableflags = mujoco.mjtDisableBit.mjDSBL_MULTICCD  # the deepest contact of a pair says it all
        spec.option.ccd_tolerance = DEPTH_TOLERANCE_M
        try:
            self._model = spec.compile()
            self._qpos = np.array([self._model.joint(name).qposadr[0] for name in robot.joint_names])
        except (ValueError, KeyError) as error:
            raise ConfigError(f"robot {robot.name!r}: MuJoCo says {error}") from error
        self._data = mujoco.MjData(self._model)
        self._nothing = tuple(Nearest(kind=kind, distance_m=margin_m, first="", second="") for kind in KINDS)
        self._pairs: dict[tuple[int, ...], tuple[int, str, str]] = {}
        for (first, second), kind in kinds.items():
            ids = self._model.geom(first).id, self._model.geom(second).id
            # MuJoCo tells the two in an order of its own.
            self._pairs[ids] = self._pairs[ids[::-1]] = KINDS.index(kind), first, second

    def nearest(self, q: FloatArray) -> tuple[Nearest, ...]:
        """Return the nearest pair of each of KINDS, in that order, at joints `q` (n,) rad. Raises ShapeError.

        Each is told truthfully, also deep in the table: what is near enough to matter is for the caller to say.
        """
        if np.shape(q) != self._qpos.shape or not np.isfinite(q).all():
            raise ShapeError(f"joint positions: got {q}, expected {len(self._qpos)} finite numbers")
        data = self._data
        data.qpos[self._qpos] = q
        mujoco.mj_kinematics(self._model, data)
        mujoco.mj_collision(self._model, data)
        nearest = list(self._nothing)
        contacts = data.contact
        for geoms, distance in zip(contacts.geom.tolist(), contacts.dist.tolist(), strict=True):
            number, first, second = self._pairs[tuple(geoms)]
            if distance < nearest[number].distance_m:
                nearest[number] = Nearest(kind=KINDS[number], distance_m=distance, first=first, second=second)
        return tuple(nearest)


def _add_arms(spec: mujoco.MjSpec, robot: RobotConfig) -> None:
    """Add the arms at their bases. All arms share the meshes of the links."""
    for link in arm_links():
        spec.add_mesh(name=link.name, uservert=link.corners.ravel(), maxhullvert=HULL_CORNERS)
    for arm in robot.arms:
        bodies = {WORLD: spec.worldbody}
        for link in arm_links():
            name = arm.prefix + link.name
            body = bodies[link.parent].add_body(name=name, pos=link.position, quat=link.quaternion)
            if link.joint:
                body.add_joint(name=arm.prefix + link.joint, axis=link.axis)
            mesh = mujoco.mjtGeom.mjGEOM_MESH
            body.add_geom(name=name, type=mesh, meshname=link.name, contype=0, conaffinity=0)
            bodies[link.name] = body
        bodies["base"].pos = arm.base_xyz
        bodies["base"].quat = _turned(arm.base_yaw)


def _add_obstacles(spec: mujoco.MjSpec, keep_outs: Sequence[KeepOut], prefixes: Sequence[str]) -> dict[str, str]:
    """Add what stands still. Returns the kind of each by name. Raises ConfigError."""
    world, still = spec.worldbody, {"contype": 0, "conaffinity": 0}
    world.add_geom(name=TABLE, type=mujoco.mjtGeom.mjGEOM_PLANE, size=(1, 1, 0.1), **still)
    kinds = {TABLE: "table"}
    links = {prefix + link.name for prefix in prefixes for link in arm_links()}
    for volume in keep_outs:
        if volume.name in links or volume.name in kinds:
            raise ConfigError(f"keep-out: got name {volume.name!r} that is in use, expected one of its own")
        kinds[volume.name] = "keep_out"
        if isinstance(volume, KeepOutBox):
            box = mujoco.mjtGeom.mjGEOM_BOX
            shape = {"type": box, "size": volume.half_sizes_m, "quat": _turned(volume.yaw_rad)}
        else:
            shape = {"type": mujoco.mjtGeom.mjGEOM_SPHERE, "size": (volume.radius_m, 0, 0)}
        world.add_geom(name=volume.name, pos=volume.center_xyz_m, **shape, **still)
    return kinds


def _turned(yaw_rad: float) -> tuple[float, float, float, float]:
    return math.cos(yaw_rad / 2), 0.0, 0.0, math.sin(yaw_rad / 2)


def _pairs(prefixes: Sequence[str], obstacles: dict[str, str]) -> dict[tuple[str, str], str]:
    """Return the kind of every pair of names that a command can bring together."""
    joints = {link.name: link.joints for link in arm_links()}
    pairs: dict[tuple[str, str], str] = {}
    for prefix in prefixes:
        for one, other in itertools.combinations(joints, 2):
            # Along one chain: the only link beside it, the camera's mount, has no joint of its own.
            if abs(joints[one] - joints[other]) >= 2 and {one, other} not in NEAR_BY_DESIGN:
                pairs[prefix + one, prefix + other] = "self"
        for link, (obstacle, kind) in itertools.product(joints, obstacles.items()):
            if link not in (LEVEL if kind == "table" else STANDING):
                pairs[prefix + link, obstacle] = kind
    for left, right in itertools.combinations(prefixes, 2):
        for one, other in itertools.product(joints, joints):
            if one not in STANDING or other not in STANDING:
                pairs[left + one, right + other] = "hands" if one in HAND and other in HAND else "arms"
    return pairs
