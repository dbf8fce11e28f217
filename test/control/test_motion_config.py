"""Parameters of motion planning: what makes no sense is refused."""

import math

import pytest

from so_arm_policy.control.motion.config import PlannerConfig
from so_arm_policy.control.motion.planner import MotionPlanner
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.mapping import from_mapping, to_mapping
from so_arm_policy.robot.description import load_robot

ROBOT = load_robot("so101")


@pytest.mark.parametrize("name", [k for k, v in to_mapping(PlannerConfig()).items() if not isinstance(v, str)])
@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1e9])
def test_parameters_that_make_no_sense_are_refused(name, value):
    with pytest.raises(ConfigError, match=name):
        PlannerConfig(**{name: value})


def test_the_configuration_is_strict():
    with pytest.raises(ConfigError, match="'speed'"):
        from_mapping(PlannerConfig, {"speed": 1.0})
    with pytest.raises(ConfigError, match="rrt_connect"):
        MotionPlanner(PlannerConfig(planner="magic"), ROBOT)
