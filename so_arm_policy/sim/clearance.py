"""How near a pose brings the arms to themselves, the table, each other and keep-out volumes."""

import itertools
import math
from collections.abc import Mapping, Sequence

import mujoco

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.keep_out import KeepOut, KeepOutBox
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.sim.arm_links import WORLD, arm_links
from so_arm_policy.sim.pairs import Pairs

# self: two links of one arm; table: a link and the table; hands: the jaws of one arm and those of another, which meet
# when something is passed over; arms: any other two links of different arms; keep_out: a link and a keep-out volume.
KINDS = ("self", "table", "arms", "hands", "keep_out")
TABLE = "table"
HAND = ("gripper", "moving_jaw")
# A link is the convex hull of its corners, which against the table is exact. Of a hull so many corners are kept: it
# then lies less than 1 mm inside, and asking takes half as long as with all.
HULL_CORNERS = 128
# Links of one arm with at most one joint between them touch or come near by design and are never asked about, as in
# MuJoCo itself; jaw against jaw is such a pair. Two pairs have two joints between them, which only turn and open the
# gripper: whatever they do, it leaves them 8 to 14 and 20 to 29 mm apart, which would hide all else.
NEAR_BY_DESIGN = ({"wrist", "moving_jaw"}, {"lower_arm", "gripper"})
# No command moves the base. The shoulder turns about the vertical: its height above the table stays.
STANDING = ("base",)
LEVEL = ("base", "shoulder")


class Clearance(Pairs):
    """Answers how near a pose is to a collision. Deterministic. Not thread-safe: one for each thread."""

    def __init__(self, robot: RobotConfig, keep_outs: Sequence[KeepOut] = (), margin_m: float = 0.03) -> None:
        """Build the model, the first in a process within a second or two. The table is endless, its top at world z = 0.

        margin_m: how far it looks, 0 < margin_m <= 1; looking farther takes longer. Raises ConfigError.
        """
        if not 0.0 < margin_m <= 1.0:
            raise ConfigError(f"clearance: got margin {margin_m} m, expected 0 < margin <= 1")
        spec = mujoco.MjSpec()
        add_arms(spec, robot)
        kinds = command_pairs(robot, add_obstacles(spec, robot, keep_outs))
        super().__init__(spec, robot, kinds, dict.fromkeys(KINDS, margin_m))


def add_arms(spec: mujoco.MjSpec, robot: RobotConfig) -> None:
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


def add_obstacles(spec: mujoco.MjSpec, robot: RobotConfig, keep_outs: Sequence[KeepOut]) -> dict[str, str]:
    """Add what stands still. Returns the kind of each by name. Raises ConfigError."""
    world, still = spec.worldbody, {"contype": 0, "conaffinity": 0}
    world.add_geom(name=TABLE, type=mujoco.mjtGeom.mjGEOM_PLANE, size=(1, 1, 0.1), **still)
    kinds = {TABLE: "table"}
    links = {arm.prefix + link.name for arm in robot.arms for link in arm_links()}
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


def command_pairs(robot: RobotConfig, obstacles: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Return the kind of every pair of names that a command can bring together. obstacles: kind by name."""
    prefixes = [arm.prefix for arm in robot.arms]
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
