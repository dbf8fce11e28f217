"""The MuJoCo model: arms, table, objects, bowl, plate, lights and cameras, and how a Scene is put into it."""

import itertools
import math
from dataclasses import dataclass

import mujoco
import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.objects import HALF_SIZES, KINDS, OBJECT_COUNT, OBJECT_MASS_KG, inertia
from so_arm_policy.core.robot import ArmConfig, CameraConfig, RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.sim.arm_model import arm_spec
from so_arm_policy.sim.scene import Scene

SUBSTEPS = 4
OVERHEAD_POSITION = (0.52, 0.0, 0.46)
OVERHEAD_TARGET = (0.19, 0.0, 0.0)
LAMP_POSITION = (0.3, 0.3, 1.2)
BOWL_WALLS = 14
PLATE_RADIUS_M = 0.055
PLATE_HEIGHT_M = 0.006
OUT_OF_SIGHT = (0.0, 0.0, -2.0)
# Of objects with all but the jaws, whose rubber grips better: sliding, torsion, rolling.
FRICTION = (0.6, 0.005, 0.0005)
_BOX = mujoco.mjtGeom.mjGEOM_BOX
_CYLINDER = mujoco.mjtGeom.mjGEOM_CYLINDER
_CHINA = (0.93, 0.91, 0.86, 1)
_SHELLS = (1.0, 0.82, 0.12, 1.0), (0.30, 0.36, 0.46, 1.0)  # of the first arm, as Menagerie has it, and of the second


def build_model(robot: RobotConfig) -> mujoco.MjModel:
    """Compile the scene for `robot`. Objects stand at the origin until `apply_scene`. Raises ConfigError."""
    spec = _arms(robot)
    spec.modelname = robot.name
    spec.visual.quality.offsamples = 0
    spec.visual.quality.shadowsize = 0
    spec.visual.global_.offwidth = max(c.width for c in robot.cameras)
    spec.visual.global_.offheight = max(c.height for c in robot.cameras)
    _add_table(spec)
    for i in range(OBJECT_COUNT):
        _add_object(spec, i)
    _add_bowl(spec)
    _add_plate(spec)
    _add_cameras(spec, robot)
    try:
        return spec.compile()
    except ValueError as error:
        raise ConfigError(f"robot {robot.name!r}: MuJoCo says {error}") from error


def _arms(robot: RobotConfig) -> mujoco.MjSpec:
    """Return the arms at their bases. A single arm without prefix is the model itself: attaching needs a prefix."""
    if [arm.prefix for arm in robot.arms] == [""]:
        spec = _set_options(arm_spec())
        _place(spec.body("base"), robot.arms[0])
        return spec
    spec = _set_options(mujoco.MjSpec())
    for arm, shell in zip(robot.arms, itertools.cycle(_SHELLS), strict=False):
        child = _set_options(arm_spec(shell))
        _place(child.body("base"), arm)
        spec.worldbody.add_frame().attach_body(child.body("base"), arm.prefix, "")
    return spec


def _place(base: mujoco.MjsBody, arm: ArmConfig) -> None:
    base.pos = arm.base_xyz
    base.quat = (math.cos(arm.base_yaw / 2), 0, 0, math.sin(arm.base_yaw / 2))


def _set_options(spec: mujoco.MjSpec) -> mujoco.MjSpec:
    spec.option.timestep = 1.0 / (CONTROL_HZ * SUBSTEPS)
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    spec.option.iterations = 20
    spec.option.ls_iterations = 20
    return spec


def _add_table(spec: mujoco.MjSpec) -> None:
    body = spec.worldbody
    body.add_geom(
        name="table",
        type=_BOX,
        size=(0.4, 0.45, 0.02),
        pos=(0.2, 0, -0.02),
        rgba=(0.62, 0.60, 0.56, 1),
        friction=FRICTION,
    )
    body.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=(3, 3, 0.1), pos=(0, 0, -0.6), rgba=(0.25, 0.27, 0.30, 1)
    )
    body.add_light(name="lamp", pos=LAMP_POSITION, dir=(-0.1, -0.2, -1), castshadow=False)


def _add_object(spec: mujoco.MjSpec, index: int) -> None:
    """Add a body that can be any kind: `apply_scene` switches one shape on. All mass sits in the first, the cube."""
    body = spec.worldbody.add_body(name=f"object{index}", pos=(0, 0, HALF_SIZES[KINDS[0]][2]))
    body.add_freejoint(name=f"object{index}")
    for kind in KINDS:
        x, y, z = HALF_SIZES[kind]
        body.add_geom(
            name=f"{kind}{index}",
            type=_CYLINDER if kind == "can" else _BOX,
            size=(x, z, 0) if kind == "can" else (x, y, z),
            mass=OBJECT_MASS_KG if kind == KINDS[0] else 0.0,
            friction=FRICTION,
            condim=4,
        )


def _add_bowl(spec: mujoco.MjSpec) -> None:
    """A bowl as a ring of slanted boxes on a disc: 11 cm wide, 4 cm high."""
    bowl = spec.worldbody.add_body(name="bowl")
    bowl.add_geom(type=_CYLINDER, size=(0.042, 0.002, 0), pos=(0, 0, 0.002), rgba=_CHINA)
    for i in range(BOWL_WALLS):
        angle = 2 * math.pi * i / BOWL_WALLS
        c, s = math.cos(angle / 2), math.sin(angle / 2)
        tilt = math.radians(-25)
        # Turn about z by the wall's angle, then lean outwards about the wall's own y axis.
        quat = np.zeros(4)
        mujoco.mju_mulQuat(quat, np.array([c, 0, 0, s]), np.array([math.cos(tilt / 2), 0, -math.sin(tilt / 2), 0]))
        position = (0.048 * math.cos(angle), 0.048 * math.sin(angle), 0.02)
        bowl.add_geom(type=_BOX, size=(0.0018, 0.0115, 0.021), pos=position, quat=quat, rgba=_CHINA)


def _add_plate(spec: mujoco.MjSpec) -> None:
    """A flat disc, 11 cm wide."""
    plate = spec.worldbody.add_body(name="plate")
    half = PLATE_HEIGHT_M / 2
    plate.add_geom(name="plate", type=_CYLINDER, size=(PLATE_RADIUS_M, half, 0), pos=(0, 0, half), rgba=_CHINA)
    plate.add_geom(
        name="plate_well",
        type=_CYLINDER,
        size=(0.7 * PLATE_RADIUS_M, half, 0),
        pos=(0, 0, half + 2e-4),
        rgba=(0.55, 0.62, 0.74, 1),
        contype=0,
        conaffinity=0,
    )


def _add_cameras(spec: mujoco.MjSpec, robot: RobotConfig) -> None:
    for camera in robot.cameras:
        if camera.name == "overhead":
            spec.worldbody.add_camera(
                name="overhead",
                pos=OVERHEAD_POSITION,
                quat=_looking(OVERHEAD_POSITION, OVERHEAD_TARGET),
                fovy=camera.fovy_deg,
            )
            continue
        prefix = camera.name.removesuffix("wrist")
        found = spec.camera(f"{prefix}wrist_cam")
        if found is None or not camera.name.endswith("wrist"):
            raise ConfigError(f"camera {camera.name!r}: expected 'overhead' or '<arm prefix>wrist' in the simulator")
        found.name, found.fovy = camera.name, camera.fovy_deg


def overhead_pixel(camera: CameraConfig, points: FloatArray, scene: Scene | None = None) -> FloatArray:
    """Return where points (..., 3) m, world frame, appear in the overhead picture: column and row, 0..1 of its size.

    scene: says where the camera is moved to; without one it stands as usual. Shape (..., 2), NaN for what lies behind
    it; pinhole model without distortion.
    """
    position, target = _overhead_pose(scene)
    R_world_camera = np.zeros(9)
    mujoco.mju_quat2Mat(R_world_camera, _looking(position, target))
    return picture_of((points - np.array(position)) @ R_world_camera.reshape(3, 3), camera)


def picture_of(points: FloatArray, camera: CameraConfig) -> FloatArray:
    """Return where points (..., 3) m in the frame of a MuJoCo camera (-z forward, +y up) appear in its picture.

    Column and row, 0..1 of its size, (..., 2); NaN for what lies behind it.
    """
    ahead = np.where(points[..., 2] < 0.0, -points[..., 2], np.nan)
    half = math.tan(math.radians(camera.fovy_deg) / 2)
    column, row = points[..., 0] / ahead / (half * camera.width / camera.height), -points[..., 1] / ahead / half
    return (np.stack([column, row], axis=-1) + 1.0) / 2.0


def _overhead_pose(scene: Scene | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return where the overhead camera stands and what it is turned to."""
    if scene is None:
        return OVERHEAD_POSITION, OVERHEAD_TARGET
    x, y, z = OVERHEAD_TARGET
    position = tuple(a + b for a, b in zip(OVERHEAD_POSITION, scene.camera_xyz, strict=True))
    return position, (x + scene.camera_aim[0], y + scene.camera_aim[1], z)


def _looking(position: tuple[float, ...], target: tuple[float, ...]) -> np.ndarray:
    """Quaternion of a MuJoCo camera (-z forward, +y up) at `position` that sees `target`; world z up."""
    back = np.subtract(position, target)
    back = back / np.linalg.norm(back)
    right = np.cross((0.0, 0.0, 1.0), back)
    right /= np.linalg.norm(right)
    R_world_camera = np.column_stack([right, np.cross(back, right), back])
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, R_world_camera.ravel())
    return quat


@dataclass(frozen=True)
class SceneIds:
    """Numbers under which the compiled model knows what `apply_scene` moves.

    geoms: for each object, its shape of each kind. qpos, qvel: where the free joint of each object begins.
    """

    geoms: tuple[dict[str, int], ...]
    bodies: tuple[int, ...]
    qpos: tuple[int, ...]
    qvel: tuple[int, ...]
    bowl: int
    plate: int
    overhead: int

    @classmethod
    def of(cls, model: mujoco.MjModel) -> "SceneIds":
        """Look the names up in `model`."""
        names = [f"object{i}" for i in range(OBJECT_COUNT)]
        return cls(
            geoms=tuple({kind: model.geom(f"{kind}{i}").id for kind in KINDS} for i in range(OBJECT_COUNT)),
            bodies=tuple(model.body(n).id for n in names),
            qpos=tuple(int(model.joint(n).qposadr[0]) for n in names),
            qvel=tuple(int(model.joint(n).dofadr[0]) for n in names),
            bowl=model.body("bowl").id,
            plate=model.body("plate").id,
            overhead=mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, "overhead"),
        )


def apply_scene(model: mujoco.MjModel, data: mujoco.MjData, scene: Scene) -> None:
    """Put `scene` into the model: shapes, colours, light, camera and places into `model`, poses into `data.qpos`."""
    ids = SceneIds.of(model)
    for i, thing in enumerate(scene.objects):
        for kind, geom in ids.geoms[i].items():
            there = kind == thing.kind
            model.geom_contype[geom] = model.geom_conaffinity[geom] = int(there)
            model.geom_rgba[geom] = (*thing.rgb, float(there))
        model.body_inertia[ids.bodies[i]] = inertia(thing.kind)
        at = ids.qpos[i]
        data.qpos[at : at + 3] = (thing.x, thing.y, HALF_SIZES[thing.kind][2])
        data.qpos[at + 3 : at + 7] = (math.cos(thing.yaw / 2), 0, 0, math.sin(thing.yaw / 2))
    model.body_pos[ids.bowl] = (scene.bowl_x, scene.bowl_y, 0.0)
    plate = scene.plate_x is not None and scene.plate_y is not None
    model.body_pos[ids.plate] = (scene.plate_x, scene.plate_y, 0.0) if plate else OUT_OF_SIGHT
    model.light_pos[0] = np.add(LAMP_POSITION, (*scene.lamp, 0.0))
    tint = scene.brightness * np.array(scene.tint)
    model.light_diffuse[:] = 0.6 * tint
    model.vis.headlight.diffuse[:] = 0.35 * tint
    model.vis.headlight.ambient[:] = 0.25 * tint
    if ids.overhead >= 0:
        position, target = _overhead_pose(scene)
        model.cam_pos[ids.overhead] = position
        model.cam_quat[ids.overhead] = _looking(position, target)
