"""LeRobot's calibration: read, refused, and ticks to radians and back."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.robot.description import load_robot
from so_arm_policy.robot.feetech.calibration import load_calibration, read_calibration, save_calibration

ROBOT = load_robot("so101")
PAIR = load_robot("so101_bimanual")
TICK = 2 * math.pi / 4096
# Of a real follower arm (github.com/matrix97317/UniRobot, so_arm101_calib.py).
REAL = {
    "shoulder_pan": {"id": 1, "drive_mode": 0, "homing_offset": -1365, "range_min": 746, "range_max": 3477},
    "shoulder_lift": {"id": 2, "drive_mode": 0, "homing_offset": -1200, "range_min": 822, "range_max": 3211},
    "elbow_flex": {"id": 3, "drive_mode": 0, "homing_offset": -986, "range_min": 901, "range_max": 3110},
    "wrist_flex": {"id": 4, "drive_mode": 0, "homing_offset": -1696, "range_min": 849, "range_max": 3216},
    "wrist_roll": {"id": 5, "drive_mode": 0, "homing_offset": -375, "range_min": 135, "range_max": 3984},
    "gripper": {"id": 6, "drive_mode": 0, "homing_offset": 1871, "range_min": 1975, "range_max": 3565},
}


def changed(joint, **values):
    return {**REAL, joint: {**REAL[joint], **values}}


def read(data, robot=ROBOT, arm=0):
    return read_calibration(data, robot, arm, "arm.json")


def one(joint, tick, data=REAL):
    ticks = [2048] * 6
    ticks[list(REAL).index(joint)] = tick
    return read(data).radians(ticks)[list(REAL).index(joint)]


def test_the_middle_of_the_range_is_zero_and_the_gripper_is_shut_at_its_beginning():
    assert one("elbow_flex", 2005) == pytest.approx(-0.5 * TICK)
    assert one("shoulder_pan", 3477) == pytest.approx((3477 - 746) / 2 * TICK)
    assert one("gripper", 1975) == pytest.approx(ROBOT.joints[5].lower)
    assert one("gripper", 1975 + 1024) == pytest.approx(ROBOT.joints[5].lower + math.pi / 2)


def test_a_joint_just_beyond_the_jump_of_its_encoder_is_next_to_where_it_was():
    full = changed("wrist_roll", range_min=0, range_max=4095)
    assert one("wrist_roll", 4095, full) - one("wrist_roll", 4094, full) == pytest.approx(TICK)
    low = changed("shoulder_pan", range_min=10, range_max=2741)
    assert one("shoulder_pan", 4090, low) == pytest.approx(one("shoulder_pan", 10, low) - 16 * TICK)
    assert one("shoulder_pan", -6, low) == pytest.approx(one("shoulder_pan", 4090, low))
    high = changed("shoulder_pan", range_min=1354, range_max=4085)
    assert one("shoulder_pan", 3, high) == pytest.approx(one("shoulder_pan", 4085, high) + 14 * TICK)
    assert read(high).beyond_jump([3, *[2048] * 5]).tolist() == [True, *[False] * 5]
    assert not read(high).beyond_jump([4090, *[2048] * 5]).any()


def test_drive_mode_turns_a_joint_round():
    turned = changed("elbow_flex", drive_mode=1)
    assert one("elbow_flex", 2500, turned) == pytest.approx(-one("elbow_flex", 2500))
    assert read(turned).speed([100] * 6)[2] == pytest.approx(-100 * TICK)
    gripper = changed("gripper", drive_mode=1)
    assert one("gripper", 3565, gripper) == pytest.approx(ROBOT.joints[5].lower)
    assert one("gripper", 1975, gripper) > one("gripper", 3565, gripper)


@given(
    st.lists(st.integers(0, 4095), min_size=6, max_size=6), st.lists(st.sampled_from([0, 1]), min_size=6, max_size=6)
)
def test_ticks_within_the_range_survive_the_way_there_and_back(ticks, modes):
    data = {name: {**REAL[name], "drive_mode": mode} for name, mode in zip(REAL, modes, strict=True)}
    calibration = read(data)
    inside = [min(max(t, s.range_min), s.range_max) for t, s in zip(ticks, calibration.servos, strict=True)]
    back, kept = calibration.ticks(calibration.radians(inside))
    assert back.tolist() == inside
    assert not kept.any()


@given(st.lists(st.floats(-7.0, 7.0), min_size=6, max_size=6))
def test_goals_never_leave_the_recorded_range(q):
    calibration = read(REAL)
    ticks, kept = calibration.ticks(np.array(q))
    for tick, servo in zip(ticks, calibration.servos, strict=True):
        assert servo.range_min <= tick <= servo.range_max
    near = np.abs(calibration.radians(ticks.tolist()) - q) <= TICK
    assert (near | kept).all()


@pytest.mark.parametrize("bad", [[math.nan] + [0.0] * 5, [math.inf] + [0.0] * 5, [0.0] * 5])
def test_goals_that_are_no_numbers_are_refused(bad):
    with pytest.raises(InputError, match="expected 6 finite numbers"):
        read(REAL).ticks(np.array(bad))


def swapped():
    ids = {name: dict(servo) for name, servo in REAL.items()}
    ids["shoulder_pan"]["id"], ids["shoulder_lift"]["id"] = 2, 1
    return ids


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({k: v for k, v in REAL.items() if k != "gripper"}, "expected the motors"),
        ({**REAL, "elbow": REAL["elbow_flex"]}, "expected the motors"),
        ([], "got list, expected the motors"),
        (swapped(), "id 2 for joint 'shoulder_pan', expected 1"),
        (changed("gripper", id=0), "id 0, expected 1..252"),
        (changed("gripper", id=True), "got True, expected int"),
        (changed("gripper", range_min=3000), "range 3000..3565 of joint 'gripper', 0.45 of the robot's"),
        (changed("elbow_flex", range_min=0, range_max=4095), "range 0..4095 of joint 'elbow_flex', 1.86"),
        (changed("elbow_flex", range_min=3110, range_max=901), "expected 0 <= range_min < range_max"),
        (changed("elbow_flex", range_max=4096), "expected 0 <= range_min < range_max <= 4095"),
        (changed("elbow_flex", range_min=-1), "expected 0 <= range_min"),
        (changed("elbow_flex", homing_offset=2048), "homing_offset 2048, expected -2047..2047"),
        (changed("elbow_flex", drive_mode=2), "drive_mode 2, expected 0 or 1"),
        (changed("elbow_flex", speed=1), "unknown key 'speed'"),
        ({**REAL, "gripper": {"id": 6}}, "missing key"),
        (changed("gripper", range_min=math.nan), "expected int"),
    ],
)
def test_what_no_arm_has_is_refused(data, why):
    with pytest.raises(ConfigError, match=why):
        read(data)


def test_a_file_is_read_as_lerobot_wrote_it_and_written_the_same(tmp_path):
    path = tmp_path / "arm.json"
    path.write_text(json.dumps(REAL, indent=4))
    calibration = load_calibration(str(path), PAIR, arm=1)
    assert calibration.joints[0].name == "right_shoulder_pan"
    save_calibration(tmp_path / "again" / "arm.json", calibration, "right_")
    assert json.loads((tmp_path / "again" / "arm.json").read_text()) == REAL
    assert [each.name for each in (tmp_path / "again").iterdir()] == ["arm.json"]


@pytest.mark.parametrize("text", ["", "{", "\x00", '{"gripper": 1, "gripper": 2}'])
def test_a_file_that_is_none_is_one_error(tmp_path, text):
    path = tmp_path / "arm.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"arm.json: got .*, expected LeRobot's calibration JSON"):
        load_calibration(str(path), ROBOT)


def test_an_arm_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match=r"got arm 1, expected 0..0"):
        read(REAL, arm=1)
