"""The MuJoCo model: arms, table, objects, bowl, plate, lights and cameras, and how a Scene is put into it."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
import numpy.typing as npt

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.objects import DISHES, HALF_SIZES, KINDS, OBJECT_COUNT, OBJECT_MASS_KG, inertia
from so_arm_policy.core.pinhole import Pinhole, look_at
from so_arm_policy.core.robot import ArmConfig, CameraConfig, CameraMount, RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.sim.arm_model import arm_spec
from so_arm_policy.sim.scene import Scene

SUBSTEPS = 4
LAMP_POSITION = (0.3, 0.3, 1.2)
BOWL_WALLS = 14
OPTICAL = np.array([1.0, -1.0, -1.0])  # a camera's axes are right, up and back in MuJoCo; right, down and ahead here
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
    add_bowl(spec)
    add_plate(spec)
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


def add_bowl(spec: mujoco.MjSpec) -> None:
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


def add_plate(spec: mujoco.MjSpec) -> None:
    """A flat disc, 11 cm wide."""
    plate = spec.worldbody.add_body(name="plate")
    radius, half = DISHES["plate"].rim_radius_m, DISHES["plate"].height_m / 2
    plate.add_geom(name="plate", type=_CYLINDER, size=(radius, half, 0), pos=(0, 0, half), rgba=_CHINA)
    plate.add_geom(
        name="plate_well",
        type=_CYLINDER,
        size=(0.7 * radius, half, 0),
        pos=(0, 0, half + 2e-4),
        rgba=(0.55, 0.62, 0.74, 1),
        contype=0,
        conaffinity=0,
    )


def _add_cameras(spec: mujoco.MjSpec, robot: RobotConfig) -> None:
    for camera in robot.cameras:
        if camera.stand is not None:
            view = standing_camera(camera)
            quat = _quaternion(view.R_world_optical)
            spec.worldbody.add_camera(name=camera.name, fovy=camera.fovy_deg, pos=view.position, quat=quat)
            # The model keeps where each stands: a scene may move one.
            stand = (*camera.stand.position, *camera.stand.target, math.radians(camera.stand.roll_deg))
            spec.add_numeric(name=camera.name, data=stand, size=len(stand))
            continue
        prefix = camera.name.removesuffix("wrist")
        found = spec.camera(f"{prefix}wrist_cam")
        if found is None or not camera.name.endswith("wrist"):
            raise ConfigError(f"camera {camera.name!r}: got no stand, expected one, or the name '<arm prefix>wrist'")
        if camera.mount is not None:
            found = _mounted(spec.site(f"{prefix}gripperframe"), camera.mount)
        found.name, found.fovy = camera.name, camera.fovy_deg


def _mounted(hand: mujoco.MjsSite, mount: CameraMount) -> mujoco.MjsCamera:
    """Return a new camera that sits so in the frame of `hand`."""
    turn = np.zeros(4)
    mujoco.mju_euler2Quat(turn, np.radians(mount.rpy_deg), "XYZ")  # capitals: about fixed axes
    R_body_hand = _matrix(hand.quat)
    quat = _quaternion(R_body_hand @ _matrix(turn))
    return hand.parent.add_camera(pos=hand.pos + R_body_hand @ np.array(mount.xyz), quat=quat)


def _matrix(quat: npt.ArrayLike) -> FloatArray:
    """Return the rotation (3, 3) of a quaternion of any length."""
    R = np.zeros(9)
    mujoco.mju_quat2Mat(R, np.asarray(quat) / np.linalg.norm(quat))
    return R.reshape(3, 3)


def standing_camera(camera: CameraConfig, scene: Scene | None = None) -> Pinhole:
    """Return a camera where it stands, moved as `scene` says. Raises ConfigError for one that an arm carries."""
    stand = camera.stand
    if stand is None:
        raise ConfigError(f"camera {camera.name!r}: got one that an arm carries, expected one with a stand")
    position, target = _moved(stand.position, stand.target, scene)
    return Pinhole(camera, position, look_at(position, target, math.radians(stand.roll_deg)))


def camera_in(data: mujoco.MjData, camera: CameraConfig) -> Pinhole:
    """Return any camera where the model has it now."""
    found = data.camera(camera.name)
    return Pinhole(camera, found.xpos.copy(), found.xmat.reshape(3, 3) * OPTICAL)


def _moved(position: Sequence[float], target: Sequence[float], scene: Scene | None) -> tuple[FloatArray, FloatArray]:
    """Return where a camera stands and what it is turned to in `scene`, (3,) m each."""
    if scene is None:
        return np.array(position), np.array(target)
    return np.add(position, scene.camera_xyz), np.add(target, (*scene.camera_aim, 0.0))


def _quaternion(R_world_optical: FloatArray) -> FloatArray:
    """Return the quaternion of MuJoCo's camera (-z forward, +y up) for an optical frame."""
    right, down, ahead = R_world_optical.T
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, np.column_stack([right, -down, -ahead]).ravel())
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
    standing: tuple[int, ...]

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
            standing=tuple(model.camera(model.numeric(i).name).id for i in range(model.nnumeric)),
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
    for number, camera in enumerate(ids.standing):
        stand = model.numeric(number).data
        position, target = _moved(stand[:3], stand[3:6], scene)
        model.cam_pos[camera] = position
        model.cam_quat[camera] = _quaternion(look_at(position, target, stand[6]))
