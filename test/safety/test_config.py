"""Limits cannot be absent and parameters cannot loosen them."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.mapping import from_mapping, to_mapping
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.robot.description import load_robot, load_yaml
from so_arm_policy.safety import limiter
from so_arm_policy.safety.case import Setup
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.limits import Limits
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import Output

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


# As in the table of docs/safety.md.
ACCEPTED = {
    "proposal_timeout_s": 0.5,
    "state_timeout_s": 0.5,
    "observation_timeout_s": 10.0,
    "future_tolerance_s": 0.1,
    "stall_s": 0.25,
    "clock_timeout_s": 1.0,
    "continuity_rad": 0.5,
    "following_s": 1.0,
    "press_share": 0.5,
    "press_s": 1.5,
    "frozen_rad": 0.3,
    "jump_rad": 0.5,
    "motors_timeout_s": 5.0,
    "position_band_rad": 0.5,
    "step_band_rad": 0.5,
    "doubt_s": 5.0,
    "doubt_clear_s": 30.0,
    "doubt_ratio": 10.0,
    "doubt_age_s": 10.0,
    "doubt_speed": 1.0,
    "clear_self_m": (0.0, 0.1),
    "clear_table_m": (-0.005, 0.1),
    "clear_arms_m": (0.0, 0.1),
    "clear_hands_m": (-0.02, 0.1),
    "clear_keep_out_m": (0.0, 0.1),
    "position_margin_rad": (0.0, 1.0),
    "velocity_scale": 1.0,
    "acceleration_scale": 1.0,
    "jerk_scale": 1.0,
}


@pytest.mark.parametrize("name", NUMBERS)
def test_the_widest_value_of_each_parameter_is_accepted_and_the_next_is_not(name):
    accepted = ACCEPTED[name]
    least, most = accepted if isinstance(accepted, tuple) else (None, accepted)
    wide = {"step_band_rad": 0.5} | {name: most}
    assert getattr(SupervisorConfig(**wide), name) == most
    with pytest.raises(ConfigError, match=f"got {name} "):
        SupervisorConfig(**wide | {name: math.nextafter(most, math.inf)})
    if least is not None:
        assert getattr(SupervisorConfig(**{name: least}), name) == least
        with pytest.raises(ConfigError, match=f"got {name} "):
            SupervisorConfig(**{name: math.nextafter(least, -math.inf)})


@pytest.mark.parametrize(
    ("good", "bad", "match"),
    [
        ({"rate_hz": 1000}, {"rate_hz": 1001}, "rate_hz 1001"),
        ({"rate_hz": 5, "stall_s": 0.25}, {"rate_hz": 0, "stall_s": 0.25}, "rate_hz 0"),
        ({"rate_hz": 100, "stall_s": 0.0101}, {"rate_hz": 100, "stall_s": 0.01}, "more than a tick of 100 Hz"),
        ({"rate_hz": 5, "stall_s": 0.25}, {"rate_hz": 1, "stall_s": 0.25}, "more than a tick of 1 Hz"),
        (
            {"step_band_rad": 0.2, "continuity_rad": 0.2},
            {"step_band_rad": 0.2, "continuity_rad": 0.21},
            "at least 0.21",
        ),
        ({"sources": ("pid", "hold")}, {"sources": ("pid", "")}, "different names"),
        ({"sources": ("pid", "hold"), "fallback": "hold"}, {"sources": ("pid",), "fallback": "hold"}, "one of"),
    ],
)
def test_the_edge_of_other_parameters(good, bad, match):
    SupervisorConfig(**good)
    with pytest.raises(ConfigError, match=match):
        SupervisorConfig(**bad)


def test_a_model_of_the_arm_looks_further_than_any_distance_asked_for():
    assert SupervisorConfig().looking_m == pytest.approx(0.03)
    assert SupervisorConfig(clear_keep_out_m=0.1).looking_m == pytest.approx(0.11)


def test_the_supervisor_reckons_in_nanoseconds():
    times = [f.name for f in fields(SupervisorConfig) if f.name.endswith("_s")]
    config = SupervisorConfig(**{name: 0.041 + 0.001 * i for i, name in enumerate(times)}, rate_hz=100)
    setup = Setup.of(config, ROBOT)
    for i, name in enumerate(times):
        assert getattr(setup, name.removesuffix("_s") + "_ns") == 41_000_000 + 1_000_000 * i
    assert setup.period_ns == 10_000_000
    longest = {name: ACCEPTED[name] for name in times}
    setup = Setup.of(SupervisorConfig(**longest), ROBOT)
    for name, seconds in longest.items():
        assert getattr(setup, name.removesuffix("_s") + "_ns") == int(seconds * 1000) * 1_000_000
    assert Setup.of(SupervisorConfig(), ROBOT).period_ns == 8_333_333


def test_under_a_doubt_each_joint_has_a_share_of_its_speed():
    setup = Setup.of(SupervisorConfig(doubt_speed=0.5), ROBOT)
    np.testing.assert_allclose(setup.doubt_step, setup.limits.velocity_step / 2)


def test_each_kind_of_distance_has_its_own_limit():
    config = SupervisorConfig(
        clear_self_m=0.01, clear_table_m=0.02, clear_arms_m=0.03, clear_hands_m=0.04, clear_keep_out_m=0.05
    )
    assert Setup.of(config, ROBOT).least_clearance == {
        "self": 0.01,
        "table": 0.02,
        "arms": 0.03,
        "hands": 0.04,
        "keep_out": 0.05,
    }


def test_the_shipped_file_holds_the_defaults_and_every_parameter():
    data = load_yaml(find_shipped("config", "safety.yaml"))
    assert from_mapping(SupervisorConfig, data) == SupervisorConfig()
    assert set(data) == {f.name for f in fields(SupervisorConfig)}
    assert from_mapping(SupervisorConfig, to_mapping(SupervisorConfig())) == SupervisorConfig()


def test_an_unknown_parameter_refuses_to_start():
    with pytest.raises(ConfigError, match="'velocity_scal'"):
        from_mapping(SupervisorConfig, {"velocity_scal": 0.5})


def test_limits_are_tightened():
    config = SupervisorConfig(position_margin_rad=0.1, velocity_scale=0.5, acceleration_scale=0.25, jerk_scale=0.125)
    limits = Limits.of(config, ROBOT)
    np.testing.assert_allclose(limits.lower, ROBOT.lower + 0.1)
    np.testing.assert_allclose(limits.upper, ROBOT.upper - 0.1)
    np.testing.assert_allclose(limits.velocity_step * 120, ROBOT.velocity * 0.5)
    np.testing.assert_allclose(limits.acceleration_step * 120**2, ROBOT.acceleration * 0.25)
    np.testing.assert_allclose(limits.closing_step, limits.acceleration_step / 2)
    np.testing.assert_allclose(limits.jerk_step * 120**3, ROBOT.jerk * 0.125)
    np.testing.assert_allclose(limits.half_range, (limits.upper - limits.lower) / 2)
    assert (limits.names, limits.rate_hz) == (ROBOT.joint_names, 120)


def test_the_longest_stop_is_that_from_full_speed_while_speeding_up():
    limits = Limits.of(SupervisorConfig(), ROBOT)
    now = Output(np.zeros(6), limits.velocity_step, limits.acceleration_step)
    for _ in range(100):
        now = limiter.brake(limits, now)
    assert now.resting
    np.testing.assert_allclose(limits.longest_stop, now.q)


def test_a_margin_that_leaves_no_room_refuses_to_start():
    half = (ROBOT.upper - ROBOT.lower)[5] / 2
    assert Limits.of(SupervisorConfig(position_margin_rad=half - 1e-9), ROBOT).half_range[5] > 0.0
    for margin in (half, half + 1e-9, 0.96):
        with pytest.raises(ConfigError, match="gripper"):
            Supervisor(SupervisorConfig(position_margin_rad=margin), ROBOT, "pid")


@pytest.mark.parametrize("name", ["lower", "upper", "velocity", "acceleration", "jerk"])
def test_a_robot_without_a_limit_cannot_be_made(name):
    with pytest.raises(ConfigError, match="limit"):
        replace(ROBOT.joints[0], **{name: math.nan})
