"""Configs: limits and parameters that must refuse to start. Read as from YAML, by the same readers as everything."""

import copy
import math
from collections.abc import Callable
from typing import Any

from so_arm_policy.core.mapping import from_mapping
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.faults.case import Expect, FaultCase
from so_arm_policy.robot.description import load_robot, load_yaml
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor

NAN, INF = math.nan, math.inf
GONE = object()  # instead of a value: the key is left out


def _file(name: str) -> Any:
    return copy.deepcopy(load_yaml(find_shipped("config", name)))


def _changed(data: Any, changes: dict[str, Any]) -> Any:
    for key, value in changes.items():
        if value is GONE:
            del data[key]
        else:
            data[key] = value
    return data


def _joint(case: str, text: str, /, joint: int = 1, **changes: Any) -> FaultCase:
    """A robot one of whose joints is described wrongly."""

    def start() -> RobotConfig:
        data = _file("robots/so101.yaml")
        _changed(data["joints"][joint], changes)
        return from_mapping(RobotConfig, data)

    return FaultCase(case, text, Expect.REFUSES, start=start)


def _robot(name: str, text: str, change: Callable[[Any], None]) -> FaultCase:
    """A robot whose description is wrong elsewhere."""

    def start() -> RobotConfig:
        data = _file("robots/so101.yaml")
        change(data)
        return from_mapping(RobotConfig, data)

    return FaultCase(name, text, Expect.REFUSES, start=start)


def _safety(name: str, text: str, source: str = "system1", **changes: Any) -> FaultCase:
    """A supervisor with a wrong parameter, started as its node would."""

    def start() -> Supervisor:
        config = from_mapping(SupervisorConfig, _changed(_file("safety.yaml"), changes))
        return Supervisor(config, load_robot("so101"), source)

    return FaultCase(name, text, Expect.REFUSES, start=start)


CASES = (
    _joint("limit_nan_velocity", "a velocity limit is NaN", velocity=NAN),
    _joint("limit_negative_velocity", "a velocity limit is negative", velocity=-2.4),
    _joint("limit_zero_acceleration", "an acceleration limit is zero", acceleration=0.0),
    _joint("limit_infinite_jerk", "a jerk limit is infinite", jerk=INF),
    _joint("limit_missing_jerk", "a jerk limit is left out", jerk=GONE),
    _joint("limit_missing_upper", "a position limit is left out", upper=GONE),
    _joint("limit_nan_position", "a position limit is NaN", lower=NAN),
    _joint("limits_inverted", "the position limits are exchanged", lower=1.74533, upper=-1.74533),
    _joint("limit_as_text", "a velocity limit is text", velocity="2.4"),
    _joint("limit_null", "a velocity limit is null", velocity=None),
    _joint("limit_misspelt", "a limit under a key that is unknown", velocity=GONE, velocty=2.4),
    _joint("home_outside", "the home pose lies outside of the limits", home=3.0),
    _joint("joint_named_twice", "two joints have the same name", name="shoulder_pan"),
    _robot("no_joints", "a robot without joints", lambda data: data["joints"].clear()),
    _safety("timeout_nan", "the timeout for proposals is NaN", proposal_timeout_s=NAN),
    _safety("timeout_zero", "the timeout for proposals is zero", proposal_timeout_s=0.0),
    _safety("timeout_endless", "the timeout for joint states is infinite", state_timeout_s=INF),
    _safety("timeout_negative", "the timeout for the clock is negative", clock_timeout_s=-0.2),
    _safety("band_negative", "the step band is negative", step_band_rad=-0.25),
    _safety("continuity_endless", "a first command may be anywhere", continuity_rad=INF),
    _safety("velocity_loosened", "a scale loosens the velocity limits", velocity_scale=1.5),
    _safety("jerk_scale_nan", "the scale of the jerk limits is NaN", jerk_scale=NAN),
    _safety("margin_too_wide", "a position margin leaves a joint no room", position_margin_rad=0.97),
    _safety("margin_negative", "a negative position margin widens the range", position_margin_rad=-0.1),
    _safety("rate_zero", "a rate of zero ticks a second", rate_hz=0),
    _safety("parameter_misspelt", "a parameter that does not exist", velocity_sclae=0.5),
    _safety("fallback_unknown", "the fallback is no source", fallback="nobody"),
    _safety("source_unknown", "the selected source is none", source="nobody"),
    _safety("no_sources", "no source at all", sources=[]),
)
