"""The wires of several arms, by the text that names them all: in a node's parameter, on a command line."""

from collections.abc import Sequence
from pathlib import Path

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.sim.servo_bus.bus import SimBus
from so_arm_policy.sim.servo_bus.wire import Wire


class Wires:
    """One wire for each bus, under a link of its own."""

    def __init__(self, buses: Sequence[SimBus], port: str) -> None:
        """port: link to make to the terminal of each bus, joined by commas. Raises ConfigError."""
        links = [part.strip() for part in port.split(",") if part.strip()]
        if len(links) != len(buses):
            raise ConfigError(f"port: got {links}, expected {len(buses)}, one for each arm")
        self._plugs = [(bus, Path(link)) for bus, link in zip(buses, links, strict=True)]
        self._wires: list[Wire] = []

    def start(self) -> None:
        """Make the terminals, from now on with somebody who answers. Raises DeviceError."""
        self._wires = [Wire(bus, link) for bus, link in self._plugs]
        for wire in self._wires:
            wire.start()

    def stop(self) -> None:
        """Take the terminals away."""
        for wire in self._wires:
            wire.stop()
