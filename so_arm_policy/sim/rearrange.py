"""Other things around an arm that goes on moving: what a person does who clears the table and lays it anew."""

import mujoco
import numpy as np

from so_arm_policy.core.errors import InputError
from so_arm_policy.sim.model import SceneIds, apply_scene
from so_arm_policy.sim.scene import Scene
from so_arm_policy.sim.simulator import Simulator

WORLD = 0


def rearrange(simulator: Simulator, scene: Scene) -> None:
    """Put `scene` in the place of the present one, at rest; joints, their speeds and commands stay as they are.

    What moves by itself begins its way. Raises InputError where an arm is in the way, and changes nothing.
    """
    model, data = simulator.model, simulator.data
    qpos, qvel = data.qpos.copy(), data.qvel.copy()
    apply_scene(model, data, scene)
    for at in SceneIds.of(model).qvel:
        data.qvel[at : at + 6] = 0.0
    mujoco.mj_forward(model, data)
    hidden = _in_the_way(simulator, scene)
    if hidden:
        apply_scene(model, data, simulator.scene)
        data.qpos[:], data.qvel[:] = qpos, qvel
        mujoco.mj_forward(model, data)
        raise InputError(f"scene {scene.seed}: got an arm where the {hidden} should be, expected it elsewhere")
    simulator.scene = scene
    simulator.ticks = 0


def _in_the_way(simulator: Simulator, scene: Scene) -> str:
    """Return what of `scene` an arm touches now, or ""."""
    ids = SceneIds.of(simulator.model)
    names = {ids.bowl: "bowl", ids.plate: "plate"}
    names |= {body: thing.words for body, thing in zip(ids.bodies, scene.objects, strict=True)}
    pairs = np.array(simulator.data.contact.geom, dtype=np.int64).reshape(-1, 2)
    for first, second in simulator.model.geom_bodyid[pairs].tolist():
        for one, other in ((first, second), (second, first)):
            if one in names and other not in names and other != WORLD:
                return names[one]
    return ""
