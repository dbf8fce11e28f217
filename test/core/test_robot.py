"""Robot descriptions: both shipped ones load, and what is wrong is refused with one clear error."""

import math
from dataclasses import replace

import numpy as np
import pytest
import yaml

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.mapping import from_mapping, to_mapping
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.robot.description import load_robot

ARM = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")


def plain(name="so101"):
    return yaml.safe_load(find_shipped("config/robots", f"{name}.yaml").read_text())


def load(data):
    return from_mapping(RobotConfig, data, "robot.yaml")


def test_one_arm():
    robot = load_robot("so101")
    assert robot.joint_names == ARM
    assert [a.prefix for a in robot.arms] == [""]
    assert robot.camera_names == ("overhead", "wrist")


def test_two_arms():
    robot = load_robot("so101_bimanual")
    assert robot.joint_names == tuple(f"{side}_{name}" for side in ("left", "right") for name in ARM)
    assert [a.prefix for a in robot.arms] == ["left_", "right_"]


@pytest.mark.parametrize("name", ["so101", "so101_bimanual"])
def test_limits_are_read_only_arrays_in_joint_order(name):
    robot = load_robot(name)
    for key in ("lower", "upper", "velocity", "acceleration", "jerk", "home", "rest"):
        array = getattr(robot, key)
        np.testing.assert_array_equal(array, [getattr(j, key) for j in robot.joints])
        assert not array.flags.writeable
    assert ((robot.lower <= robot.rest) & (robot.home <= robot.upper)).all()


@pytest.mark.parametrize("name", ["so101", "so101_bimanual"])
def test_a_description_survives_writing_and_reading(name):
    robot = load_robot(name)
    assert load(to_mapping(robot)) == robot


def test_a_robot_is_found_by_path_too(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**plain(), "name": "mine"}))
    assert load_robot(str(path)).name == "mine"


@pytest.mark.parametrize("key", ["lower", "upper", "velocity", "acceleration", "jerk", "home", "rest"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_limit_that_is_not_finite_is_refused(key, value):
    data = plain()
    data["joints"][2][key] = value
    with pytest.raises(ConfigError, match=r"elbow_flex.*got.*expected"):
        load(data)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lower", 2.0),
        ("upper", -1.69),
        ("velocity", 0.0),
        ("acceleration", -1.0),
        ("jerk", 0),
        ("home", 1.7),
        ("rest", -2),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(key, value):
    data = plain()
    data["joints"][2][key] = value
    with pytest.raises(ConfigError, match=r"elbow_flex.*got.*expected"):
        load(data)


@pytest.mark.parametrize("key", ["lower", "velocity", "jerk", "home", "name"])
def test_a_missing_key_of_a_joint_is_named(key):
    data = plain()
    del data["joints"][1][key]
    with pytest.raises(ConfigError, match=rf"robot.yaml.joints\[1\]: missing key '{key}'"):
        load(data)


def test_an_unknown_key_is_named():
    data = plain()
    data["joints"][0]["velocty"] = 2.0
    with pytest.raises(ConfigError, match=r"robot.yaml.joints\[0\]: unknown key 'velocty'"):
        load(data)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda d: d["joints"].append(d["joints"][0]), "twice"),
        (lambda d: d["cameras"].append(d["cameras"][0]), "twice"),
        (lambda d: d.update(joints=[]), "no joints"),
        (lambda d: d.update(arms=[]), "no joints or no arms"),
        (lambda d: d["aliases"].update(elbow="elbow_bend"), "expected to lead to a joint"),
        (lambda d: d["aliases"].update(gripper="elbow_flex"), "expected to lead to a joint"),
        (lambda d: d["cameras"][0].update(width=0), "pixels"),
        (lambda d: d["cameras"][0].update(fps=math.nan), "fps"),
        (lambda d: d["cameras"][0].update(fovy_deg=180.0), "fovy_deg"),
        (lambda d: d["joints"][0].update(lower="low"), "expected float"),
        (lambda d: d["joints"][0].update(lower=True), "expected float"),
        (lambda d: d["arms"][0].update(base_xyz=[0.0, 0.0]), "got 2 values, expected 3"),
        (lambda d: d.update(name=7), "expected str"),
    ],
)
def test_other_mistakes_are_refused(change, text):
    data = plain()
    change(data)
    with pytest.raises(ConfigError, match=text):
        load(data)


def test_an_unknown_robot_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"so102.*so101\.yaml"):
        load_robot("so102")


@pytest.mark.parametrize("text", ["joints: [", "\x00", "- a list"])
def test_a_file_that_is_no_description_is_refused(tmp_path, text):
    path = tmp_path / "robot.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="robot.yaml"):
        load_robot(str(path))


def test_cameras_by_name():
    robot = load_robot("so101")
    assert robot.camera("wrist").name == "wrist"
    with pytest.raises(ConfigError, match=r"'front'.*'overhead'"):
        robot.camera("front")


@pytest.mark.parametrize("name", ["so101", "so101_bimanual"])
@pytest.mark.parametrize("suffix", ["", ".pos", "_joint"])
def test_values_are_put_in_order_by_name_and_alias(name, suffix):
    robot = load_robot(name)
    values = np.arange(len(robot.joints)) * 0.1
    order = np.random.default_rng(0).permutation(len(values))
    ordered = robot.order([robot.joint_names[i] + suffix for i in order], values[order])
    np.testing.assert_array_equal(ordered, values)
    assert not ordered.flags.writeable


def test_joints_of_others_are_ignored_but_all_of_ours_are_needed_once():
    robot = load_robot("so101")
    names, values = [*ARM, "wheel"], np.arange(7.0)
    np.testing.assert_array_equal(robot.order(names, values), values[:6])
    with pytest.raises(InputError, match="gripper"):
        robot.order(ARM[:-1], values[:5])
    with pytest.raises(InputError, match=r"'shoulder_pan' twice"):
        robot.order([*ARM, "shoulder_pan.pos"], values)
    with pytest.raises(InputError, match="6 names and 5 values"):
        robot.order(ARM, values[:5])
    with pytest.raises(InputError, match="nothing"):
        robot.order([], [], "nothing")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite_are_named(value):
    with pytest.raises(InputError, match=r"effort.*wrist_flex"):
        load_robot("so101").order(ARM, [0, 0, 0, value, 0, 0], "effort")


def test_robots_are_values():
    robot = load_robot("so101")
    assert replace(robot) == robot
    with pytest.raises(AttributeError):
        robot.name = "other"
