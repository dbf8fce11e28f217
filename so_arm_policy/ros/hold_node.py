"""The source `hold`: keep the pose the arm had when it was selected."""

import sys

from so_arm_policy.control.hold import Hold
from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.source_node import SourceNode
from so_arm_policy.ros.tick_node import TickNodeConfig


class HoldNode(SourceNode[TickNodeConfig]):
    """Proposes to stay."""

    def __init__(self) -> None:
        """Raises ConfigError."""
        super().__init__("hold", TickNodeConfig)
        self.source = Hold()


def main() -> int:
    """Run the node."""
    return run_node(HoldNode)


if __name__ == "__main__":
    sys.exit(main())
