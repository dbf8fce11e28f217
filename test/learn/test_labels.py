import numpy as np

from so_arm_policy.learn.demonstrations.collect import training_task
from so_arm_policy.learn.demonstrations.labels import ABSENT, SceneLabels
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.simulator import Simulator


def test_a_thing_that_an_arm_lifted_over_the_camera_is_not_in_the_picture():
    robot = load_robot("so101_bimanual")
    simulator = Simulator(robot, training_task("handover").sample(100_000).scene)
    before = SceneLabels(robot).of(simulator)["scene.pixels"]
    assert ((before[0] > 0.0) & (before[0] < 1.0)).all()
    at = simulator.model.joint("object0").qposadr[0]
    simulator.data.qpos[at : at + 3] = [0.2, 0.0, 3.0]
    after = SceneLabels(robot).of(simulator)["scene.pixels"]
    assert (after[0] == ABSENT).all()
    assert np.array_equal(after[1:], before[1:])
