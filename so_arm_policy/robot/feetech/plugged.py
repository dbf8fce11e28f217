"""Which arm is plugged in where, as a person writes it."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from so_arm_policy.core.errors import ConfigError, DeviceError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.robot.feetech.arm import ArmPort
from so_arm_policy.robot.feetech.calibration import load_calibration
from so_arm_policy.robot.feetech.driver import DriverSettings, FeetechDriver

LOOK_S = 0.05


def arm_ports(robot: RobotConfig, ports: str, calibrations: str) -> list[ArmPort]:
    """Return the ports of all arms. ports, calibrations: one for each arm, joined by commas. Raises ConfigError."""
    devices, files = ([part.strip() for part in text.split(",") if part.strip()] for text in (ports, calibrations))
    arms = len(robot.arms)
    for what, given in (("port", devices), ("calibration", files)):
        if len(given) != arms:
            raise ConfigError(f"{what}: got {given}, expected {arms} for {robot.name}, joined by commas")
    if len(set(devices)) != len(devices):
        raise ConfigError(f"port: got {devices}, expected a different one for each arm")
    return [
        ArmPort(device=device, calibration=load_calibration(file, robot, i))
        for i, (device, file) in enumerate(zip(devices, files, strict=True))
    ]


def open_driver(
    robot: RobotConfig,
    ports: Sequence[ArmPort],
    settings: DriverSettings,
    *,
    follows: bool = True,
    wait_s: float = 0.0,
    ended: Callable[[], bool] = lambda: False,
) -> FeetechDriver:
    """Return the driver, once the ports are there and all servos answer; for `wait_s` at most, or until `ended`.

    Raises DeviceError that lists the ports there are, and ConfigError at once.
    """
    until = time.monotonic() + wait_s
    while True:
        try:
            missing = [port.device for port in ports if not Path(port.device).exists()]
            if missing:
                there = sorted(str(p) for kind in ("ttyACM*", "ttyUSB*") for p in Path("/dev").glob(kind))
                raise DeviceError(f"servo bus: got {missing}, not there, expected one of {there}")
            return FeetechDriver(robot, ports, settings, follows=follows)
        except DeviceError:
            if ended() or time.monotonic() >= until:
                raise
            time.sleep(LOOK_S)
