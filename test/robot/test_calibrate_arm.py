"""Calibrating an arm without a keyboard: somebody moves the simulated joints from stop to stop."""

import argparse
import io
import json
import sys

import numpy as np
import pytest
from servo_world import PATIENT_S

from so_arm_policy import cli
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.robot.calibrate_arm_command import calibrate
from so_arm_policy.robot.feetech.calibration import load_calibration

TICK_RAD = 2 * np.pi / 4096


@pytest.fixture
def world(servo_world):
    return servo_world(calibrated=False)


def arguments(world, out, **more):
    return argparse.Namespace(
        **{"port": world.wire.device, "out": out, "description": "so101", "arm": 0, "force": False, **more}
    )


class Hand:
    """Moves every joint to both of its stops, in steps, and says when it is done. share: how far, of the way."""

    def __init__(self, world, share=1.0):
        self.world, self.asked = world, []
        joints = world.robot.joints
        middle, half = ([(j.upper + s * j.lower) / 2 for j in joints] for s in (1, -1))
        ways = [*np.linspace(0, -1, 20), *np.linspace(-1, 1, 40), *np.linspace(1, 0, 20)]
        self.poses = [np.array(middle) + share * way * np.array(half) for way in ways]

    def enough(self):
        if not self.poses:
            return True
        self.world.q = list(self.poses.pop(0))
        self.world.settle()
        return False


def test_a_swept_arm_gets_a_file_that_the_driver_accepts_and_that_is_true(world, tmp_path, capsys):
    hand, out = Hand(world), tmp_path / "new" / "arm.json"
    calibrate(arguments(world, out), hand.enough, hand.asked.append, PATIENT_S)
    assert len(hand.asked) == 2
    assert "LeRobot reads it" in capsys.readouterr().out
    assert list(json.loads(out.read_text())) == [j.name for j in world.robot.joints]
    for servo in world.servos:
        servo.lose_power()  # what was written stays
    world.settle()
    world.calibration = load_calibration(str(out), world.robot)
    world.drive()
    for q in (world.robot.home, world.robot.lower + 0.01, world.robot.upper - 0.01):
        reading = world.tick(q, 3)
        assert np.abs(world.q - q).max() <= 3 * TICK_RAD
        assert np.abs(reading.q - world.q).max() <= 3 * TICK_RAD
    for servo in world.calibration.servos:  # the jump is outside, on both sides alike
        assert servo.range_min > 100
        assert servo.range_min + servo.range_max == pytest.approx(4095, abs=2)


def test_an_arm_that_was_hardly_moved_is_refused_and_nothing_is_written(world, tmp_path):
    hand, out = Hand(world, share=0.5), tmp_path / "arm.json"
    before = [bytes(servo.memory[:40]) for servo in world.servos]
    with pytest.raises(ConfigError, match="of joint 'shoulder_pan', 0.50 of the robot's"):
        calibrate(arguments(world, out), hand.enough, hand.asked.append, PATIENT_S)
    assert [bytes(servo.memory[:40]) for servo in world.servos] == before
    assert not out.exists()


def test_a_joint_that_was_turned_round_is_refused(world, tmp_path):
    hand = Hand(world)
    for pose, angle in zip(hand.poses, np.linspace(0.0, 7.0, len(hand.poses)), strict=True):
        pose[4] = angle
    with pytest.raises(InputError, match="'wrist_roll': got more than a whole turn"):
        calibrate(arguments(world, tmp_path / "arm.json"), hand.enough, hand.asked.append, PATIENT_S)


def test_an_arm_that_nobody_moved_is_refused(world, tmp_path):
    with pytest.raises(InputError, match="'shoulder_pan': got no motion"):
        calibrate(arguments(world, tmp_path / "arm.json"), lambda: True, lambda text: None, PATIENT_S)


def test_whoever_says_no_changes_nothing(world, tmp_path):
    def ask(text):
        if "for good" in text:
            raise KeyboardInterrupt

    before = [bytes(servo.memory[:40]) for servo in world.servos]
    with pytest.raises(KeyboardInterrupt):
        calibrate(arguments(world, tmp_path / "arm.json"), Hand(world).enough, ask, PATIENT_S)
    assert [bytes(servo.memory[:40]) for servo in world.servos] == before


def test_a_file_that_is_there_stays_and_no_keyboard_is_an_error(world, tmp_path, capsys, monkeypatch):
    out = tmp_path / "arm.json"
    out.write_text("{}")
    with pytest.raises(ConfigError, match="or --force"):
        calibrate(arguments(world, out), lambda: True, print, PATIENT_S)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    command = ["calibrate-arm", "--port", world.wire.device, "--out", str(tmp_path / "other.json")]
    assert cli.main(command) == 2
    assert "got no keyboard" in capsys.readouterr().err
