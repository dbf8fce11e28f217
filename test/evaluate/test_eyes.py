"""Perception by hand on what the simulator shows, against what is there."""

import numpy as np
import pytest

from so_arm_policy.core.values import CameraImage, JointSample
from so_arm_policy.evaluate.agent import Moment
from so_arm_policy.evaluate.eyes import CameraEyes
from so_arm_policy.sim.renderer import SceneRenderer
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks import make_task

SEEDS = range(3100, 3112)
ASIDE_RAD = 1.1


@pytest.fixture(scope="module")
def looks(robot):
    """What is seen, and what is there, with the arm aside."""
    eyes, renderer, found = CameraEyes(robot), SceneRenderer(robot), []
    pose = np.array(robot.home)
    pose[0] = ASIDE_RAD
    simulator = None
    for seed in SEEDS:
        scene = make_task("pick_place").sample(seed).scene
        simulator = simulator or Simulator(robot, scene)
        simulator.reset(scene, pose)
        sample = JointSample(stamp_ns=1, received_ns=1, q=simulator.q, dq=simulator.dq)

        def look(cameras, scene=scene, qpos=simulator.qpos):
            return {
                name: CameraImage(camera=name, stamp_ns=1, rgb=renderer.render(scene, qpos, name)) for name in cameras
            }

        moment = Moment(tick=0, now_ns=1, sample=sample, following=False, look=look, simulator=simulator)
        found.append((scene, eyes.look(moment, None)))
    renderer.close()
    return found


def test_every_thing_that_the_arm_does_not_hide_is_found_for_what_it_is(looks):
    right = hidden = 0
    for scene, table in looks:
        for thing in scene.objects:
            near = [t for t in table.things if np.hypot(t.position[0] - thing.x, t.position[1] - thing.y) < 0.01]
            right += any(t.words == thing.words for t in near)
            hidden += not near
        assert len(table.things) <= len(scene.objects)
    assert right >= 3 * len(SEEDS) - 3
    assert hidden <= 2


def test_places_are_found_within_a_centimetre(looks):
    found = 0
    for scene, table in looks:
        truth = {"bowl": (scene.bowl_x, scene.bowl_y), "plate": (scene.plate_x, scene.plate_y)}
        for name, place in table.places.items():
            found += 1
            assert np.hypot(*(place[:2] - truth[name])) < 0.01
    assert found >= 2 * len(SEEDS) - 8  # the arm hides some
