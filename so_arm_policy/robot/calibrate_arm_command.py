"""`so-arm calibrate-arm`: move an SO-101 by hand from stop to stop, and get LeRobot's calibration of it."""

import argparse
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.robot.description import load_robot
from so_arm_policy.robot.feetech.bus import PATIENCE_S, ServoBus
from so_arm_policy.robot.feetech.calibration import ArmCalibration, joints_of_arm, save_calibration
from so_arm_policy.robot.feetech.settings import check_arm
from so_arm_policy.robot.feetech.sweep import Sweep, write_calibration

LOOK_S, SHOW_S = 0.02, 0.5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--port", required=True, help="serial port of the arm, e.g. /dev/ttyACM0")
    parser.add_argument("--out", type=Path, required=True, help="file to write, e.g. left_follower.json")
    parser.add_argument("--description", default="so101", help="robot description that the arm belongs to")
    parser.add_argument("--arm", type=int, default=0, help="number of the arm in that description, 0 first")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")


def run(args: argparse.Namespace) -> int:
    """Calibrate with a person at the keyboard. Returns 0. Raises SoArmError."""
    calibrate(args, enough=_enter_pressed, ask=_ask)
    return 0


def calibrate(
    args: argparse.Namespace,
    enough: Callable[[], bool],
    ask: Callable[[str], None],
    patience_s: float = PATIENCE_S,
) -> ArmCalibration:
    """Follow the joints until `enough`, then write servos and file once `ask` returns. Raises SoArmError."""
    robot = load_robot(args.description)
    joints = joints_of_arm(robot, args.arm)
    if args.out.exists() and not args.force:
        raise ConfigError(f"--out: got {args.out}, which is there, expected a new file, or --force")
    bus = ServoBus(args.port, range(1, len(joints) + 1), patience_s=patience_s)
    try:
        ask("The arm will lose its torque and fall: hold it. Enter to go on, Ctrl-C to end.")
        sweep = Sweep(bus, joints)
        print("Move every joint slowly from stop to stop; the gripper, too. Enter when all are done.")
        _follow(sweep, enough, [joint.name for joint in joints])
        calibration = sweep.calibration(str(args.out))
        for joint, servo in zip(joints, calibration.servos, strict=True):
            print(f"  {joint.name:16} {servo.range_min:5} .. {servo.range_max:5}  offset {servo.homing_offset:5}")
        ask(f"This goes into the servos, for good, and to {args.out}. Enter to go on, Ctrl-C to leave both alone.")
        write_calibration(bus, calibration)
        check_arm(bus, calibration)
    finally:
        bus.close()
    save_calibration(args.out, calibration, robot.arms[args.arm].prefix)
    print(f"written: {args.out}; LeRobot reads it, too")
    return calibration


def _follow(sweep: Sweep, enough: Callable[[], bool], names: list[str]) -> None:
    shown_s = 0.0
    while not enough():
        sweep.look()
        now_s = time.monotonic()
        if sys.stdout.isatty() and now_s - shown_s >= SHOW_S:
            shown_s = now_s
            spans = ", ".join(f"{n} {h - lo}" for n, lo, h in zip(names, sweep.low, sweep.high, strict=True))
            print(f"\rticks: {spans}   ", end="", flush=True)
    print()


def _enter_pressed() -> bool:
    if not select.select([sys.stdin], [], [], LOOK_S)[0]:
        return False
    if not sys.stdin.readline():
        raise ConfigError("calibrate-arm: got no keyboard, expected somebody who presses Enter")
    return True


def _ask(text: str) -> None:
    try:
        input(f"{text} ")
    except EOFError as error:
        raise ConfigError("calibrate-arm: got no keyboard, expected somebody who presses Enter") from error
