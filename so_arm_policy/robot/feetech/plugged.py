"""Which arm is plugged in where, as a person writes it."""

import time
from collections.abc import Callable
from pathlib import Path

from so_arm_policy.core.errors import ConfigError, DeviceError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.robot.feetech.arm import ArmPort
from so_arm_policy.robot.feetech.calibration import load_calibration

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


def wait_for(ports: list[ArmPort], wait_s: float, ended: Callable[[], bool] = lambda: False) -> None:
    """Wait until every port is there, for so long at most. Raises DeviceError that lists the ports there are."""
    until = time.monotonic() + wait_s
    while missing := [port.device for port in ports if not Path(port.device).exists()]:
        if ended() or time.monotonic() >= until:
            there = sorted(str(p) for kind in ("ttyACM*", "ttyUSB*") for p in Path("/dev").glob(kind))
            raise DeviceError(f"servo bus: got {missing}, not there, expected one of {there}")
        time.sleep(LOOK_S)
