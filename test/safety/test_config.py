"""Limits cannot be absent and parameters cannot loosen them."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.mapping import from_mapping, to_mapping
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.robot.description import load_robot, load_yaml
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.limits import Limits
from so_arm_policy.safety.supervisor import Supervisor

ROBOT = load_robot("so101")
NUMBERS = [f.name for f in fields(SupervisorConfig) if f.type in (float, "float")]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.5, 1e9])
def test_a_parameter_that_would_switch_a_rule_off_refuses_to_start(name, value):
    with pytest.raises(ConfigError, match=name):
        SupervisorConfig(**{name: value})


@pytest.mark.parametrize("name", [n for n in NUMBERS if n != "position_margin_rad" and not n.startswith("clear_")])
def test_zero_refuses_to_start(name):
    with pytest.raises(ConfigError, match=name):
        SupervisorConfig(**{name: 0.0})


@pytest.mark.parametrize(
    "changes",
    [
        {"rate_hz": 0},
        {"rate_hz": 1001},
        {"sources": ()},
        {"sources": ("pid", "pid")},
        {"sources": ("",)},
        {"fallback": "nobody"},
        {"stall_s": 0.008},
        {"step_band_rad": 0.1},
        {"velocity_scale": 1.0001},
        {"acceleration_scale": 2.0},
    ],
)
def test_other_wrong_parameters_refuse_to_start(changes):
    with pytest.raises(ConfigError, match="safety: got"):
        SupervisorConfig(**changes)


def test_the_shipped_file_holds_the_defaults_and_every_parameter():
    data = load_yaml(find_shipped("config", "safety.yaml"))
    assert from_mapping(SupervisorConfig, data) == SupervisorConfig()
    assert set(data) == {f.name for f in fields(SupervisorConfig)}
    assert from_mapping(SupervisorConfig, to_mapping(SupervisorConfig())) == SupervisorConfig()


def test_an_unknown_parameter_refuses_to_start():
    with pytest.raises(ConfigError, match="'velocity_scal'"):
        from_mapping(SupervisorConfig, {"velocity_scal": 0.5})


def test_limits_are_tightened():
    config = SupervisorConfig(position_margin_rad=0.1, velocity_scale=0.5, acceleration_scale=0.25)
    limits = Limits.of(config, ROBOT)
    np.testing.assert_allclose(limits.lower, ROBOT.lower + 0.1)
    np.testing.assert_allclose(limits.upper, ROBOT.upper - 0.1)
    np.testing.assert_allclose(limits.velocity_step * 120, ROBOT.velocity * 0.5)
    np.testing.assert_allclose(limits.acceleration_step * 120**2, ROBOT.acceleration * 0.25)


def test_a_margin_that_leaves_no_room_refuses_to_start():
    with pytest.raises(ConfigError, match="gripper"):
        Supervisor(SupervisorConfig(position_margin_rad=0.96), ROBOT, "pid")


@pytest.mark.parametrize("name", ["lower", "upper", "velocity", "acceleration", "jerk"])
def test_a_robot_without_a_limit_cannot_be_made(name):
    with pytest.raises(ConfigError, match="limit"):
        replace(ROBOT.joints[0], **{name: math.nan})
