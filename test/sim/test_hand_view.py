import numpy as np
import pytest

from so_arm_policy.core.errors import InputError
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.expert import arm_iks
from so_arm_policy.sim.hand_view import hand_pixels
from so_arm_policy.sim.renderer import SceneRenderer
from so_arm_policy.sim.scene import EVERYTHING, random_scene
from so_arm_policy.sim.simulator import Simulator


@pytest.fixture(scope="module")
def robot():
    return load_robot("so101")


def test_objects_under_the_open_gripper_appear_where_the_joints_say(robot):
    (ik,) = arm_iks(robot)
    scene = random_scene(0, EVERYTHING)
    simulator, renderer = Simulator(robot, scene), SceneRenderer(robot)
    looked = 0
    for seed in range(6):
        scene = random_scene(seed, EVERYTHING)
        simulator.reset(scene)
        for i, thing in enumerate(scene.objects):
            try:
                q = ik.solve(simulator.object_position(i) + np.array([0.0, 0.0, 0.05]), ik.home, tolerance_m=5e-3)
            except InputError:
                continue
            q[ik.gripper] = 0.6
            simulator.reset(scene, q)
            ((((u, v),),),) = hand_pixels(robot, q[None], simulator.object_position(i)[None, None])
            picture = renderer.render(scene, simulator.qpos, "wrist").astype(float)
            seen = picture[int(v * picture.shape[0]), int(u * picture.shape[1])]
            wanted = np.array(thing.rgb) * np.array(scene.tint)
            cosine = seen @ wanted / np.linalg.norm(seen) / np.linalg.norm(wanted)
            assert cosine > 0.95 or (thing.color == "black" and seen.max() < 60), (seed, thing.words, seen)
            looked += 1
    renderer.close()
    assert looked >= 12


def test_what_lies_behind_a_camera_is_nowhere(robot):
    pixels = hand_pixels(robot, robot.home[None], np.array([[[0.0, 0.0, 3.0]]]))
    assert pixels.shape == (1, 1, 1, 2)
    assert np.isnan(pixels).all()


def test_two_arms_have_two_hand_cameras():
    robot = load_robot("so101_bimanual")
    assert hand_pixels(robot, robot.home[None], np.zeros((1, 2, 3))).shape == (1, 2, 2, 2)
