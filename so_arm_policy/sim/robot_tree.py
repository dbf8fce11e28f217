"""The robot as a tree of frames: what the URDF is written from, and the transforms of /tf.

Kinematics, masses and shapes come from the arm's MJCF, which the simulator uses, too; limits, bases and cameras from
the robot's description. Frames are named as ROS names them: links end in `_link`, cameras have their optical frame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mujoco
import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError, ShapeError
from so_arm_policy.core.robot import ArmConfig, CameraConfig, RobotConfig
from so_arm_policy.sim.arm_links import WORLD, link_name
from so_arm_policy.sim.arm_model import arm_xml, simplified
from so_arm_policy.sim.model import OPTICAL, standing_camera

TOOL = "gripper_frame_link"  # between the tips of the jaws, z ahead
WRIST = "wrist"
Rgba = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pose:
    """Where a frame is in its parent: (3,) m and R_parent_child (3, 3)."""

    position: FloatArray
    rotation: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Shape:
    """One part of a link: a drawing in m (`mesh`), or a box with edges `size` m. collides: it is felt, not seen."""

    pose: Pose
    size: tuple[float, ...]
    mesh: Path | None
    rgba: Rgba
    collides: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Mass:
    """Mass kg, its centre (3,) m, and the inertia about it (3, 3) kg m^2, along the link's axes."""

    kg: float
    center: FloatArray
    inertia: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Joint:
    """A hinge about `axis` (3,) through the link's origin. effort N m, damping N m s/rad, friction N m."""

    name: str
    axis: FloatArray
    effort: float
    damping: float
    friction: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One frame, with all joints at zero; parents come before their children. joint: None where it is fixed."""

    name: str
    parent: str
    pose: Pose
    joint: Joint | None = None
    mass: Mass | None = None
    shapes: tuple[Shape, ...] = ()


def robot_tree(robot: RobotConfig) -> tuple[Frame, ...]:
    """Return the frames of `robot` below the frame `world`. Raises ConfigError."""
    frames = [frame for arm in robot.arms for frame in _arm(arm)]
    frames += [_camera(camera, robot) for camera in robot.cameras]
    joints = [frame.joint.name for frame in frames if frame.joint is not None]
    if sorted(joints) != sorted(robot.joint_names):
        raise ConfigError(f"robot {robot.name!r}: got joints {list(robot.joint_names)}, expected those of SO-101 arms")
    names = [WORLD, *(frame.name for frame in frames)]
    if len(set(names)) != len(names):
        raise ConfigError(f"robot {robot.name!r}: got frames {names}, expected different names")
    return tuple(frames)


def child_pose(frame: Frame, angle: float) -> Pose:
    """Return where `frame` is in its parent with its joint at `angle`, rad; without a joint that changes nothing."""
    if frame.joint is None:
        return frame.pose
    quaternion, R = np.zeros(4), np.zeros(9)
    mujoco.mju_axisAngle2Quat(quaternion, frame.joint.axis, angle)
    mujoco.mju_quat2Mat(R, quaternion)
    return Pose(position=frame.pose.position, rotation=frame.pose.rotation @ R.reshape(3, 3))


def forward(tree: Sequence[Frame], robot: RobotConfig, q: FloatArray) -> dict[str, Pose]:
    """Return where every frame is in the world with the joints at q (n,) rad. Raises ShapeError."""
    if np.shape(q) != (len(robot.joints),):
        raise ShapeError(f"joint positions: got shape {np.shape(q)}, expected ({len(robot.joints)},)")
    angles = dict(zip(robot.joint_names, q, strict=True))
    found = {WORLD: Pose(position=np.zeros(3), rotation=np.eye(3))}
    for frame in tree:
        parent = found[frame.parent]
        local = child_pose(frame, angles[frame.joint.name] if frame.joint else 0.0)
        position = parent.position + parent.rotation @ local.position
        found[frame.name] = Pose(position=position, rotation=parent.rotation @ local.rotation)
    return found


def quaternion_of(rotation: FloatArray) -> FloatArray:
    """Return the quaternion (w, x, y, z) of a rotation (3, 3)."""
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(rotation).ravel())
    return quaternion


def _arm(arm: ArmConfig) -> list[Frame]:
    c, s = math.cos(arm.base_yaw), math.sin(arm.base_yaw)
    stand = Pose(position=np.array(arm.base_xyz), rotation=np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]))
    frames = []
    for frame in arm_frames():
        base = frame.parent == WORLD
        joint = frame.joint
        frames.append(
            Frame(
                name=arm.prefix + frame.name,
                parent=WORLD if base else arm.prefix + frame.parent,
                pose=stand if base else frame.pose,
                joint=None if joint is None else Joint(**{**vars(joint), "name": arm.prefix + joint.name}),
                mass=frame.mass,
                shapes=frame.shapes,
            )
        )
    return frames


def _camera(camera: CameraConfig, robot: RobotConfig) -> Frame:
    if camera.stand is not None:
        view = standing_camera(camera)
        pose = Pose(position=np.array(view.position), rotation=np.array(view.R_world_optical))
        return Frame(name=camera.frame_id, parent=WORLD, pose=pose)
    prefix = camera.name.removesuffix(WRIST)
    if not camera.name.endswith(WRIST) or prefix not in [arm.prefix for arm in robot.arms]:
        raise ConfigError(f"camera {camera.name!r}: got no stand, expected one, or the name '<arm prefix>wrist'")
    parent, pose = wrist_camera()
    return Frame(name=camera.frame_id, parent=prefix + parent, pose=pose)


@cache
def wrist_camera() -> tuple[str, Pose]:
    """Return the link that carries the camera in the hand, and the camera's optical frame (REP-103) there."""
    camera = _spec().camera("wrist_cam")
    pose = _pose(camera)
    return _link(camera.parent), Pose(position=pose.position, rotation=pose.rotation * OPTICAL)


@cache
def arm_frames() -> tuple[Frame, ...]:
    """Return the frames of one arm without prefix, from `base_link` below `world` outwards, and its tool frame."""
    spec = _spec()
    files = {mesh.name: arm_xml().parent / "assets" / mesh.file for mesh in spec.meshes}
    effort = {actuator.target: float(actuator.forcerange[1]) for actuator in spec.actuators}
    colors = {m.name: m.rgba.tolist() for m in spec.materials}
    frames = []
    for body in spec.bodies:
        if body.name == WORLD:
            continue
        parts = [shape for geom in body.geoms if (shape := _shape(geom, files, colors)) is not None]
        frames.append(
            Frame(
                name=_link(body),
                parent=WORLD if body.parent.name == WORLD else _link(body.parent),
                pose=_pose(body),
                joint=_joint(body.joints[0], effort) if body.joints else None,
                mass=_mass(body, files),
                shapes=tuple(parts),
            )
        )
    site = spec.site("gripperframe")
    return (*frames, Frame(name=TOOL, parent=_link(site.parent), pose=_pose(site)))


@cache
def _spec() -> mujoco.MjSpec:
    # Not compiled: see arm_links.py.
    return mujoco.MjSpec.from_file(str(arm_xml()))


def _link(body: mujoco.MjsBody) -> str:
    return f"{link_name(body.name)}_link"


def _joint(joint: mujoco.MjsJoint, effort: dict[str, float]) -> Joint:
    if np.any(joint.pos):
        raise ConfigError(f"arm model: got joint {joint.name!r} at {joint.pos}, expected at the origin of its link")
    damping, friction = float(np.ravel(joint.damping)[0]), float(np.ravel(joint.frictionloss)[0])
    return Joint(
        name=joint.name, axis=np.array(joint.axis), effort=effort[joint.name], damping=damping, friction=friction
    )


def _pose(placed: mujoco.MjsBody | mujoco.MjsGeom | mujoco.MjsSite | mujoco.MjsCamera) -> Pose:
    quaternion, R = np.array(placed.quat) / np.linalg.norm(placed.quat), np.zeros(9)
    if placed.alt.type == mujoco.mjtOrientation.mjORIENTATION_EULER:
        mujoco.mju_euler2Quat(quaternion, placed.alt.euler, "xyz")
    mujoco.mju_quat2Mat(R, quaternion)
    return Pose(position=np.array(placed.pos), rotation=R.reshape(3, 3))


def _shape(geom: mujoco.MjsGeom, files: dict[str, Path], colors: dict[str, list[float]]) -> Shape | None:
    """Return the part that `geom` is. The tips' balls and capsules, 2 mm small, are left out."""
    mesh: Path | None = None
    size: tuple[float, ...] = ()
    match geom.type:
        case mujoco.mjtGeom.mjGEOM_MESH:
            mesh = files[geom.meshname]
        case mujoco.mjtGeom.mjGEOM_BOX:
            size = tuple(2.0 * float(v) for v in geom.size)
        case _:
            return None
    r, g, b, a = colors.get(geom.material, (0.5, 0.5, 0.5, 1.0))
    collides = bool(geom.contype or geom.conaffinity)
    return Shape(pose=_pose(geom), size=size, mesh=mesh, rgba=(r, g, b, a), collides=collides)


def _mass(body: mujoco.MjsBody, files: dict[str, Path]) -> Mass:
    if body.explicitinertial:
        xx, yy, zz, xy, xz, yz = body.fullinertia
        inertia = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        return Mass(kg=float(body.mass), center=np.array(body.ipos), inertia=inertia)
    weighed = [geom for geom in body.geoms if geom.type == mujoco.mjtGeom.mjGEOM_MESH and geom.mass > 0.0]
    if len(weighed) != 1:
        raise ConfigError(f"arm model: got body {body.name!r} with {len(weighed)} parts of known mass, expected one")
    geom = weighed[0]
    return _shell(float(geom.mass), _pose(geom), files[geom.meshname])


def _shell(kg: float, pose: Pose, drawing: Path) -> Mass:
    """Return the mass of a drawing's surface, as the simulator takes it.

    A third of each triangle's in the middle of each edge: that has the triangle's own first and second moments.
    """
    vertices, faces = simplified(drawing)
    triangles = vertices[faces]
    a, b, c = triangles.transpose(1, 0, 2)
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    weights = np.repeat(kg * areas / areas.sum() / 3.0, 3)
    points = (triangles + np.roll(triangles, 1, axis=1)).reshape(-1, 3) / 2.0 @ pose.rotation.T + pose.position
    center = weights @ points / kg
    r = points - center
    moments = np.einsum("i,ij,ik->jk", weights, r, r)
    return Mass(kg=kg, center=center, inertia=np.trace(moments) * np.eye(3) - moments)
