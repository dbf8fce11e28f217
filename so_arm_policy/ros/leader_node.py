"""Leader arms, which a person moves: their joints on leader/joint_states. They never get torque."""

import sys
import time
from dataclasses import dataclass

from so_arm_policy.core.ticks import Tick
from so_arm_policy.robot.feetech.bus import PATIENCE_S
from so_arm_policy.robot.feetech.driver import DriverSettings
from so_arm_policy.robot.feetech.plugged import arm_ports, open_driver
from so_arm_policy.ros import convert, signals, topics
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.tick_node import TickNode, TickNodeConfig


@dataclass(frozen=True, kw_only=True)
class LeaderConfig(TickNodeConfig):
    """Parameters of the leader node."""

    port: str = parameter("", "serial port of each leader arm, in the order of the robot's arms, joined by commas")
    calibration: str = parameter("", "LeRobot's calibration JSON of each leader arm, joined by commas")
    patience_s: float = parameter(PATIENCE_S, "longest wait for an answer, beyond the wire's time", low=1e-3, high=5.0)
    wait_s: float = parameter(0.0, "how long to wait at the start for ports and servos", low=0.0, high=600.0)


class LeaderNode(TickNode[LeaderConfig]):
    """Reads the leaders on every tick."""

    def __init__(self) -> None:
        """Raises ConfigError, DeviceError."""
        super().__init__("leader", LeaderConfig)
        ports = arm_ports(self.robot, self.config.port, self.config.calibration)
        wait_s, ended = self.config.wait_s, signals.told_to_end.is_set
        settings = DriverSettings(patience_s=self.config.patience_s)
        self._driver = open_driver(self.robot, ports, settings, follows=False, wait_s=wait_s, ended=ended)
        self._states = self.speak(topics.LEADER_JOINT_STATES)

    def tick(self, tick: Tick) -> None:
        """Read and publish."""
        reading = self._driver.step(None, time.monotonic_ns())
        for fault in self._driver.faults:
            self.report(fault.code, fault.text)
        if reading.q is not None and reading.dq is not None:
            self._states.publish(convert.joint_state(self.robot, self.now_ns(), reading.q, reading.dq))
            self.counts["leader/joint_states"] += 1

    def facts(self) -> dict[str, object]:
        """Return packets."""
        return {**super().facts(), **{f"bus_{name}": count for name, count in self._driver.packets.items()}}

    def stop(self) -> None:
        """End the ticks and close the ports."""
        super().stop()
        self._driver.close()


def main() -> int:
    """Run the node."""
    return run_node(LeaderNode)


if __name__ == "__main__":
    sys.exit(main())
