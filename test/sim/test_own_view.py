"""What the robot knows of itself in pictures."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.own_view import OwnView
from so_arm_policy.sim.scene import EVERYTHING, random_scene
from so_arm_policy.sim.simulator import Simulator


@pytest.mark.parametrize(("name", "shows"), [("so101", "overhead"), ("so101", "wrist"), ("so101_bimanual", "overhead")])
def test_all_that_the_robot_hides_is_known_and_not_much_more(name, shows):
    robot = load_robot(name)
    own, simulator = OwnView(robot), Simulator(robot, random_scene(1, EVERYTHING))
    model, data = simulator.model, simulator.data
    camera = robot.camera(shows)
    renderer = mujoco.Renderer(model, camera.height, camera.width)
    renderer.enable_segmentation_rendering()
    arms = {model.body(f"{arm.prefix}base").rootid[0] for arm in robot.arms}
    rng = np.random.default_rng(0)
    for _ in range(4):
        q = robot.home + rng.uniform(-0.5, 0.5, len(robot.home))
        simulator.reset(random_scene(1, EVERYTHING), np.clip(q, robot.lower, robot.upper))
        own.pose(simulator.q)
        # Where the camera is by the description: scenes move it.
        data.cam_xpos[model.camera(shows).id] = own.camera(shows).position
        renderer.update_scene(data, shows)
        geoms = renderer.render()[..., 0]
        robots = np.isin(model.body_rootid[model.geom_bodyid[np.maximum(geoms, 0)]], list(arms)) & (geoms >= 0)
        hidden = own.hidden(own.camera(shows))
        assert robots.sum() > 300
        assert (robots & ~hidden).sum() <= 0.01 * robots.sum()
        assert hidden.sum() < 2.0 * robots.sum()
    renderer.close()


def test_a_carried_camera_goes_with_the_arm(robot):
    own = OwnView(robot)
    own.pose(robot.home)
    before = own.camera("wrist").position
    own.pose(robot.rest)
    assert np.linalg.norm(own.camera("wrist").position - before) > 0.05
    with pytest.raises(ConfigError, match="got camera 'belly'"):
        own.camera("belly")


def test_a_camera_that_looks_away_from_the_robot_is_not_hidden_from(robot):
    own = OwnView(robot)
    own.pose(robot.home)
    view = own.camera("overhead")
    assert own.hidden(view).any()
    behind = replace(view, R_world_optical=view.R_world_optical @ np.diag([1.0, -1.0, -1.0]))
    assert not own.hidden(behind).any()
