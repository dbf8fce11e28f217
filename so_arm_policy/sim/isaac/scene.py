"""Everything that Isaac Sim is told, as one value: the robot's gains, what stands around, cameras, and the graphs."""

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.objects import OBJECT_MASS_KG
from so_arm_policy.core.robot import CameraConfig, RobotConfig
from so_arm_policy.sim.isaac.graph import Graph, ros_graph
from so_arm_policy.sim.isaac.node_types import VERSIONS
from so_arm_policy.sim.model import OPTICAL, apply_scene, build_model
from so_arm_policy.sim.robot_tree import quaternion_of, robot_tree
from so_arm_policy.sim.scene import Scene

URDF, SCENE = "robot.urdf", "isaac.json"
FORMAT = 1
RATE_HZ = 120  # frames, steps of physics and joint states a second
_KINDS = {mujoco.mjtGeom.mjGEOM_BOX: "box", mujoco.mjtGeom.mjGEOM_CYLINDER: "cylinder"}
Three = tuple[float, float, float]
Four = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Servo:
    """One joint: gains of its position drive N m/rad and N m s/rad, most torque N m, where it begins, rad."""

    joint: str
    stiffness: float
    damping: float
    effort: float
    home: float


@dataclass(frozen=True, kw_only=True)
class Part:
    """A box (edges, m) or an upright cylinder (radius, height and 0, m) in the world; mass_kg: 0 where it stands fast.

    quaternion: (w, x, y, z).
    """

    name: str
    kind: str
    size: Three
    position: Three
    quaternion: Four
    rgb: Three
    mass_kg: float


@dataclass(frozen=True, kw_only=True)
class View:
    """A camera on the link `parent` (or `world`): its place there, (w, x, y, z) of its axes: x right, y up, z back."""

    name: str
    parent: str
    position: Three
    quaternion: Four
    fovx_deg: float


@dataclass(frozen=True, kw_only=True)
class IsaacScene:
    """What the script reads. urdf: file beside it. graphs: major version of Isaac Sim -> the ROS 2 graph."""

    format: int
    robot: str
    urdf: str
    rate_hz: int
    servos: tuple[Servo, ...]
    parts: tuple[Part, ...]
    views: tuple[View, ...]
    graphs: dict[str, Graph]


def isaac_scene(robot: RobotConfig, scene: Scene, rate_hz: int = RATE_HZ, namespace: str = "") -> IsaacScene:
    """Return `scene` around `robot` for Isaac Sim; compiling it for MuJoCo takes seconds. Raises ConfigError."""
    if not 1 <= rate_hz <= 1000:
        raise ConfigError(f"rate: got {rate_hz} frames a second, expected 1..1000")
    model = build_model(robot)
    data = mujoco.MjData(model)
    apply_scene(model, data, scene)
    mujoco.mj_forward(model, data)
    return IsaacScene(
        format=FORMAT,
        robot=robot.name,
        urdf=URDF,
        rate_hz=rate_hz,
        servos=tuple(_servo(model, joint.name, joint.home) for joint in robot.joints),
        parts=tuple(_parts(model, data, robot)),
        views=tuple(_view(camera, robot) for camera in robot.cameras),
        graphs={str(version): ros_graph(robot, version, rate_hz, namespace) for version in VERSIONS},
    )


def _servo(model: mujoco.MjModel, joint: str, home: float) -> Servo:
    actuator = model.actuator(joint)
    return Servo(
        joint=joint,
        stiffness=float(actuator.gainprm[0]),
        damping=float(-actuator.biasprm[2]),
        effort=float(actuator.forcerange[1]),
        home=home,
    )


def _parts(model: mujoco.MjModel, data: mujoco.MjData, robot: RobotConfig) -> list[Part]:
    """Return what is not the robot and can be touched: table, dishes, objects."""
    bases = {model.body(f"{arm.prefix}base").id for arm in robot.arms}
    parts = []
    for geom in range(model.ngeom):
        body = int(model.geom_bodyid[geom])
        kind = _KINDS.get(mujoco.mjtGeom(model.geom_type[geom]))
        seen = kind is not None and model.geom_contype[geom] and model.geom_rgba[geom, 3] > 0.0
        if not seen or int(model.body_rootid[body]) in bases or data.geom_xpos[geom, 2] < -1.0:
            continue
        a, b, c = model.geom_size[geom].tolist()
        x, y, z = data.geom_xpos[geom].tolist()
        w, i, j, k = quaternion_of(data.geom_xmat[geom].reshape(3, 3)).tolist()
        red, green, blue, _ = model.geom_rgba[geom].tolist()
        parts.append(
            Part(
                name=f"{model.body(body).name}_{geom}",
                kind=str(kind),
                size=(2 * a, 2 * b, 2 * c) if kind == "box" else (a, 2 * b, 0.0),
                position=(x, y, z),
                quaternion=(w, i, j, k),
                rgb=(red, green, blue),
                mass_kg=OBJECT_MASS_KG if model.body_dofnum[body] else 0.0,
            )
        )
    return parts


def _view(camera: CameraConfig, robot: RobotConfig) -> View:
    frame = next(frame for frame in robot_tree(robot) if frame.name == camera.frame_id)
    x, y, z = frame.pose.position.tolist()
    w, i, j, k = quaternion_of(frame.pose.rotation * OPTICAL).tolist()
    across = math.tan(math.radians(camera.fovy_deg) / 2.0) * camera.width / camera.height
    return View(
        name=camera.name,
        parent=frame.parent,
        position=(x, y, z),
        quaternion=(w, i, j, k),
        fovx_deg=float(np.degrees(2.0 * math.atan(across))),
    )
