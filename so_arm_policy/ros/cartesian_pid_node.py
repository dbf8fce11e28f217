"""The source `cartesian_pid`: the controller `pid` of comparisons, which goes where the cameras saw the thing."""

import sys

from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.servo_node import CartesianPidNode


def main() -> int:
    """Run the node."""
    return run_node(CartesianPidNode)


if __name__ == "__main__":
    sys.exit(main())
