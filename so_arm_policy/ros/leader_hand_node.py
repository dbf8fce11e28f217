"""Leader arms that are not there: simulated servos on pseudo-terminals, moved as by a hand, for the leader node."""

import sys
from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.ticks import Tick
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.tick_node import TickNode, TickNodeConfig
from so_arm_policy.sim.servo_bus.arms import sim_servos
from so_arm_policy.sim.servo_bus.bus import SimBus
from so_arm_policy.sim.servo_bus.wires import Wires

SLOWEST_S = 8.0  # period of the first joint; the others are quicker, so that poses do not repeat soon


@dataclass(frozen=True, kw_only=True)
class LeaderHandConfig(TickNodeConfig):
    """Parameters of the node."""

    port: str = parameter("", "link to make to the pseudo-terminal of each leader arm, joined by commas")
    swing_rad: float = parameter(0.25, "how far each joint swings from the home pose", low=0.0, high=0.5)


def swung(robot: RobotConfig, time_s: float, swing_rad: float) -> tuple[FloatArray, FloatArray]:
    """Return positions (n,) rad and velocities (n,) rad/s of leaders that swing around home, where they begin."""
    omega = 2.0 * np.pi / SLOWEST_S * (1.0 + 0.2 * np.arange(len(robot.joints)))
    q = robot.home + swing_rad * np.sin(omega * time_s)
    inside = np.clip(q, robot.lower, robot.upper)
    return inside, np.where(q == inside, swing_rad * omega * np.cos(omega * time_s), 0.0)


class LeaderHandNode(TickNode[LeaderHandConfig]):
    """Swings the leaders' joints gently around the home pose, for ever."""

    phase = 0.4  # the leader node asks at the beginning of a period

    def __init__(self) -> None:
        """Raises ConfigError."""
        super().__init__("leader_hand", LeaderHandConfig)
        self._buses = [SimBus(sim_servos(self.robot, arm)) for arm in range(len(self.robot.arms))]
        self._wires = Wires(self._buses, self.config.port)
        self._ticks = 0

    def tick(self, tick: Tick) -> None:
        """Move every servo a little."""
        self._ticks += 1
        q, dq = swung(self.robot, self._ticks / CONTROL_HZ, self.config.swing_rad)
        servos = [(bus, servo) for bus in self._buses for servo in bus.servos]
        for (bus, servo), position, velocity in zip(servos, q.tolist(), dq.tolist(), strict=True):
            with bus.lock:
                servo.sense(position, velocity, 0.0, 1.0 / CONTROL_HZ)

    def start(self) -> None:
        """Answer, then move. Raises DeviceError."""
        self._wires.start()
        super().start()

    def stop(self) -> None:
        """Take the terminals away."""
        super().stop()
        self._wires.stop()


def main() -> int:
    """Run the node."""
    return run_node(LeaderHandNode)


if __name__ == "__main__":
    sys.exit(main())
