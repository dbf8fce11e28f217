"""The MuJoCo model: arms, table, cubes, bowl, lights and cameras, and how a Scene is put into it."""

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import ArmConfig, CameraConfig, RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.sim.arm_model import arm_spec
from so_arm_policy.sim.scene import CUBE_COUNT, CUBE_SIZE_M, Scene

SUBSTEPS = 4
OVERHEAD_POSITION = (0.52, 0.0, 0.46)
OVERHEAD_TARGET = (0.19, 0.0, 0.0)
BOWL_WALLS = 14
_BOX = mujoco.mjtGeom.mjGEOM_BOX


def build_model(robot: RobotConfig) -> mujoco.MjModel:
    """Compile the scene for `robot`. Objects stand at the origin until `apply_scene`. Raises ConfigError."""
    spec = _arms(robot)
    spec.modelname = robot.name
    spec.visual.quality.offsamples = 0
    spec.visual.quality.shadowsize = 0
    spec.visual.global_.offwidth = max(c.width for c in robot.cameras)
    spec.visual.global_.offheight = max(c.height for c in robot.cameras)
    _add_table(spec)
    for i in range(CUBE_COUNT):
        _add_cube(spec, i)
    _add_bowl(spec)
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
    for arm in robot.arms:
        child = _set_options(arm_spec())
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
    body.add_geom(name="table", type=_BOX, size=(0.4, 0.45, 0.02), pos=(0.2, 0, -0.02), rgba=(0.62, 0.60, 0.56, 1))
    body.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=(3, 3, 0.1), pos=(0, 0, -0.6), rgba=(0.25, 0.27, 0.30, 1)
    )
    body.add_light(name="lamp", pos=(0.3, 0.3, 1.2), dir=(-0.1, -0.2, -1), castshadow=False)


def _add_cube(spec: mujoco.MjSpec, index: int) -> None:
    body = spec.worldbody.add_body(name=f"cube{index}", pos=(0, 0, CUBE_SIZE_M / 2))
    body.add_freejoint(name=f"cube{index}")
    half = CUBE_SIZE_M / 2
    body.add_geom(
        name=f"cube{index}", type=_BOX, size=(half, half, half), mass=0.03, friction=(1.0, 0.005, 0.0005), condim=4
    )


def _add_bowl(spec: mujoco.MjSpec) -> None:
    """A bowl as a ring of slanted boxes on a disc: 11 cm wide, 4 cm high."""
    bowl = spec.worldbody.add_body(name="bowl")
    rgba = (0.93, 0.91, 0.86, 1)
    bowl.add_geom(type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=(0.042, 0.002, 0), pos=(0, 0, 0.002), rgba=rgba)
    for i in range(BOWL_WALLS):
        angle = 2 * math.pi * i / BOWL_WALLS
        c, s = math.cos(angle / 2), math.sin(angle / 2)
        tilt = math.radians(-25)
        # Turn about z by the wall's angle, then lean outwards about the wall's own y axis.
        quat = np.zeros(4)
        mujoco.mju_mulQuat(quat, np.array([c, 0, 0, s]), np.array([math.cos(tilt / 2), 0, -math.sin(tilt / 2), 0]))
        position = (0.048 * math.cos(angle), 0.048 * math.sin(angle), 0.02)
        bowl.add_geom(type=_BOX, size=(0.0018, 0.0115, 0.021), pos=position, quat=quat, rgba=rgba)


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


def overhead_pixel(camera: CameraConfig, points: FloatArray) -> FloatArray:
    """Return where points (..., 3) m, world frame, appear in the overhead picture: column and row, 0..1 of its size.

    Shape (..., 2); pinhole model without distortion.
    """
    R_world_camera = np.zeros(9)
    mujoco.mju_quat2Mat(R_world_camera, _looking(OVERHEAD_POSITION, OVERHEAD_TARGET))
    local = (points - np.array(OVERHEAD_POSITION)) @ R_world_camera.reshape(3, 3)
    half = math.tan(math.radians(camera.fovy_deg) / 2)
    column = local[..., 0] / -local[..., 2] / (half * camera.width / camera.height)
    row = -local[..., 1] / -local[..., 2] / half
    return (np.stack([column, row], axis=-1) + 1.0) / 2.0


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
    """Numbers under which the compiled model knows what `apply_scene` moves."""

    cube_geoms: tuple[int, ...]
    cube_qpos: tuple[int, ...]
    bowl_body: int

    @classmethod
    def of(cls, model: mujoco.MjModel) -> "SceneIds":
        """Look the names up in `model`."""
        names = [f"cube{i}" for i in range(CUBE_COUNT)]
        return cls(
            cube_geoms=tuple(model.geom(n).id for n in names),
            cube_qpos=tuple(int(model.joint(n).qposadr[0]) for n in names),
            bowl_body=model.body("bowl").id,
        )


def apply_scene(model: mujoco.MjModel, data: mujoco.MjData, scene: Scene) -> None:
    """Put `scene` into the model: colours, light and the bowl into `model`, cube poses into `data.qpos`."""
    ids = SceneIds.of(model)
    for cube, geom, at in zip(scene.cubes, ids.cube_geoms, ids.cube_qpos, strict=True):
        model.geom_rgba[geom, :3] = cube.rgb
        data.qpos[at : at + 3] = (cube.x, cube.y, CUBE_SIZE_M / 2)
        data.qpos[at + 3 : at + 7] = (math.cos(cube.yaw / 2), 0, 0, math.sin(cube.yaw / 2))
    model.body_pos[ids.bowl_body] = (scene.bowl_x, scene.bowl_y, 0.0)
    model.light_diffuse[:] = 0.6 * scene.brightness
    model.vis.headlight.diffuse[:] = 0.35 * scene.brightness
    model.vis.headlight.ambient[:] = 0.25 * scene.brightness
