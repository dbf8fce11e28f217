"""Perception by hand on what the simulator shows, against what is there."""

import numpy as np
import pytest

from so_arm_policy.core.objects import height
from so_arm_policy.core.values import CameraImage, JointSample
from so_arm_policy.evaluate.agent import Moment
from so_arm_policy.evaluate.eyes import CameraEyes
from so_arm_policy.sim.expert import arm_iks
from so_arm_policy.sim.renderer import SceneRenderer
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks import make_task

SEEDS = range(3100, 3112)
ASIDE_RAD = 1.1


@pytest.fixture(scope="module")
def looks(robot):
    """What is seen, and what is there, with the arm aside."""
    pose = np.array(robot.home)
    pose[0] = ASIDE_RAD
    return seen(robot, CameraEyes(robot), lambda scene: pose)


def seen(robot, eyes, pose_in, wanted=None):
    """Return scenes and what eyes see in them with the arm at a pose that depends on the scene."""
    renderer, found, simulator = SceneRenderer(robot), [], None
    for seed in SEEDS:
        scene = make_task("pick_place").sample(seed).scene
        simulator = simulator or Simulator(robot, scene)
        simulator.reset(scene, pose_in(scene))
        sample = JointSample(stamp_ns=1, received_ns=1, q=simulator.q, dq=simulator.dq)

        def look(cameras, scene=scene, qpos=simulator.qpos):
            return {
                name: CameraImage(camera=name, stamp_ns=1, rgb=renderer.render(scene, qpos, name)) for name in cameras
            }

        moment = Moment(tick=0, now_ns=1, sample=sample, following=False, look=look, simulator=simulator)
        found.append((scene, eyes.look(moment, wanted and wanted(scene))))
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


def above(robot):
    """Return what puts the fingertip 2 cm above the first thing, as one does that follows it."""
    (ik,) = arm_iks(robot)

    def pose(scene):
        thing = scene.objects[0]
        return ik.solve(np.array([thing.x, thing.y, height(thing.kind) + 0.02]), robot.home)

    return pose


def test_the_hand_sees_what_is_under_it(robot):
    errors = {}
    for carried in (True, False):
        eyes = CameraEyes(robot, carried=carried)
        errors[carried] = []
        for scene, table in seen(robot, eyes, above(robot), lambda scene: frozenset({scene.objects[0].color})):
            thing = scene.objects[0]
            at = [np.hypot(*(t.position[:2] - (thing.x, thing.y))) for t in table.things if t.words == thing.words]
            errors[carried].append(min(at, default=np.inf))
    assert max(errors[True]) < 0.004
    assert np.median(errors[True]) < 0.001 < np.median(errors[False])


def test_an_old_picture_from_the_hand_is_left_out_and_without_one_from_above_nothing_is_seen(robot):
    eyes, renderer = CameraEyes(robot), SceneRenderer(robot)
    scene = make_task("pick_place").sample(SEEDS[0]).scene
    simulator = Simulator(robot, scene)
    simulator.reset(scene, above(robot)(scene))
    sample = JointSample(stamp_ns=9, received_ns=9, q=simulator.q, dq=simulator.dq)

    def look(stamps):
        def shown(cameras):
            return {
                name: CameraImage(camera=name, stamp_ns=stamps[name], rgb=renderer.render(scene, simulator.qpos, name))
                for name in cameras
            }

        moment = Moment(tick=0, now_ns=9, sample=sample, following=False, look=shown, simulator=simulator)
        return eyes.look(moment, None)

    both, alone = look({"overhead": 9, "wrist": 9}), look({"overhead": 9, "wrist": 8})
    assert look({"overhead": 8, "wrist": 9}) is None
    truth = np.array([scene.objects[0].x, scene.objects[0].y])
    hidden = [
        min(t.hidden for t in table.things if np.hypot(*(t.position[:2] - truth)) < 0.02) for table in (both, alone)
    ]
    assert hidden[0] < hidden[1]
    renderer.close()
