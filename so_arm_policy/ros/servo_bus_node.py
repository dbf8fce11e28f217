"""The simulator behind simulated servos: the arm moves as its servo bus says, and joint_command goes to the driver."""

import sys
from dataclasses import dataclass
from pathlib import Path

from std_msgs.msg import String

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.ros import topics
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.simulator_node import SimulatorConfig, SimulatorNode
from so_arm_policy.sim.servo_bus.arms import ServoedArms
from so_arm_policy.sim.servo_bus.wire import Wire


@dataclass(frozen=True, kw_only=True)
class ServoBusConfig(SimulatorConfig):
    """Parameters of the node."""

    port: str = parameter("", "link to make to the pseudo-terminal of each arm, joined by commas")


class ServoBusNode(SimulatorNode):
    """One pseudo-terminal for each arm. Its own joint_command is to lead nowhere: ros/stack.py gives it other names."""

    config: ServoBusConfig
    phase = 0.4  # the driver asks at the beginning of a period

    def __init__(self) -> None:
        """Raises ConfigError."""
        super().__init__("servo_bus", ServoBusConfig)
        links = [part.strip() for part in self.config.port.split(",") if part.strip()]
        self._arms = ServoedArms(self.simulator)
        if len(links) != len(self._arms.buses):
            raise ConfigError(f"port: got {links}, expected {len(self._arms.buses)}, one for each arm")
        self._links = links
        self._wires: list[Wire] = []
        self.listen(topics.SERVO_BUS_FAULT, self._on_fault)

    def advance(self, command: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        """Step the physics with the goals of the servos, whatever was commanded otherwise."""
        state = super().advance(self._arms.command())
        self._arms.sense()
        return state

    def start(self) -> None:
        """Make the terminals, from now on with somebody who answers. Raises DeviceError."""
        self._wires = [Wire(bus, Path(link)) for bus, link in zip(self._arms.buses, self._links, strict=True)]
        for wire in self._wires:
            wire.start()
        super().start()

    def stop(self) -> None:
        """Take the terminals away."""
        super().stop()
        for wire in self._wires:
            wire.stop()

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
