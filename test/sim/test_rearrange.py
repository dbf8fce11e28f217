"""Other things around an arm that is in the middle of a motion."""

from dataclasses import replace

import numpy as np
import pytest

from so_arm_policy.core.errors import InputError
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.rearrange import rearrange
from so_arm_policy.sim.scene import Scene
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks import make_task

ROBOT = load_robot("so101")


def scene_of(task: str, seed: int) -> Scene:
    return make_task(task).sample(seed).scene


@pytest.fixture
def simulator() -> Simulator:
    """An arm on its way, in a scene of pick_place."""
    made = Simulator(ROBOT, scene_of("pick_place", 1))
    target = ROBOT.home.copy()
    target[0] += 0.6
    for _ in range(20):
        made.step(target)
    assert np.abs(made.dq).max() > 0.1
    return made


def stands(simulator: Simulator) -> None:
    for i, thing in enumerate(simulator.scene.objects):
        np.testing.assert_allclose(simulator.object_position(i)[:2], (thing.x, thing.y), atol=2e-3)
        assert simulator.object_speed(i) < 0.05


def test_the_arm_goes_on_as_if_nothing_had_happened(simulator: Simulator) -> None:
    twin = Simulator(ROBOT, simulator.scene)
    twin.data.qpos[:], twin.data.qvel[:], twin.data.ctrl[:] = (
        simulator.data.qpos,
        simulator.data.qvel,
        simulator.data.ctrl,
    )
    rearrange(simulator, scene_of("pick_place", 2))
    for _ in range(60):
        simulator.step()
        twin.step()
    np.testing.assert_allclose(simulator.q, twin.q, atol=1e-3)
    assert simulator.q[0] > 0.55
    stands(simulator)


def test_the_scene_is_the_one_that_a_reset_makes(simulator: Simulator) -> None:
    scene = scene_of("sort", 3)
    rearrange(simulator, scene)
    fresh = Simulator(ROBOT, scene)
    assert simulator.scene == scene
    for name in ("body_pos", "geom_rgba", "geom_contype", "body_inertia", "cam_pos", "light_diffuse"):
        np.testing.assert_array_equal(getattr(simulator.model, name), getattr(fresh.model, name))
    stands(simulator)


def test_what_moves_begins_its_way(simulator: Simulator) -> None:
    scene = scene_of("track", 4)
    assert scene.motion is not None
    rearrange(simulator, scene)
    for tick in range(60):
        simulator.step()
        place, _ = scene.motion.at(tick / 120)
        assert np.linalg.norm(simulator.object_position(scene.motion.object)[:2] - place) < 2e-3


@pytest.mark.parametrize("hidden", ["bowl", "object"])
def test_a_scene_behind_the_arm_is_refused_and_nothing_changes(simulator: Simulator, hidden: str) -> None:
    scene = scene_of("pick_place", 2)
    first, *others = scene.objects
    if hidden == "bowl":
        scene = replace(scene, bowl_x=0.0, bowl_y=0.0)
    else:
        scene = replace(scene, objects=(replace(first, x=0.06, y=0.0), *others))
    present, before = simulator.scene, simulator.qpos
    drawn = simulator.model.body_pos.copy(), simulator.model.geom_rgba.copy()
    with pytest.raises(InputError, match=f"an arm where the {hidden if hidden == 'bowl' else first.words} should be"):
        rearrange(simulator, scene)
    assert simulator.scene is present
    np.testing.assert_array_equal(simulator.qpos, before)
    np.testing.assert_array_equal(simulator.model.body_pos, drawn[0])
    np.testing.assert_array_equal(simulator.model.geom_rgba, drawn[1])
    assert np.abs(simulator.dq).max() > 0.1
