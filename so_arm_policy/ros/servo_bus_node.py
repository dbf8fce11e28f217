"""The simulator behind simulated servos: the arm moves as its servo bus says, and joint_command goes to the driver."""

import sys
from dataclasses import dataclass

from std_msgs.msg import String

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.ros import topics
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.simulator_node import SimulatorConfig, SimulatorNode
from so_arm_policy.sim.servo_bus.arms import ServoedArms
from so_arm_policy.sim.servo_bus.wires import Wires


@dataclass(frozen=True, kw_only=True)
class ServoBusConfig(SimulatorConfig):
    """Parameters of the node."""

    port: str = parameter("", "link to make to the pseudo-terminal of each arm, joined by commas")


class ServoBusNode(SimulatorNode):
    """One pseudo-terminal for each arm. Its own joint_command is to lead nowhere: ros/stack_arms.py renames it."""

    config: ServoBusConfig
    phase = 0.4  # the driver asks at the beginning of a period

    def __init__(self) -> None:
        """Raises ConfigError."""
        super().__init__("servo_bus", ServoBusConfig)
        self._arms = ServoedArms(self.simulator)
        self._wires = Wires(self._arms.buses, self.config.port)
        self.listen(topics.SERVO_BUS_FAULT, self._on_fault)

    def advance(self, command: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        """Step the physics with the goals of the servos, whatever was commanded otherwise."""
        state = super().advance(self._arms.command())
        self._arms.sense()
        return state

    def start(self) -> None:
        """Make the terminals, from now on with somebody who answers. Raises DeviceError."""
        self._wires.start()
        super().start()

    def stop(self) -> None:
        """Take the terminals away."""
        super().stop()
        self._wires.stop()

    def facts(self) -> dict[str, object]:
        """Return what the buses heard."""
        counted = {f"bus{i}_{n}": c for i, bus in enumerate(self._arms.buses) for n, c in bus.counts.items()}
        return {**super().facts(), **counted}

    def _on_fault(self, msg: String) -> None:
        """Break something of the first arm's bus, e.g. "mute 3"."""
        self._arms.buses[0].inject(msg.data)


def main() -> int:
    """Run the node."""
    return run_node(ServoBusNode)


if __name__ == "__main__":
    sys.exit(main())
