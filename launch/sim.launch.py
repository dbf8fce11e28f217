"""The whole stack with the embedded simulator: ros2 launch so_arm_policy sim.launch.py."""

from launch import LaunchDescription
from so_arm_policy.ros.launching import launch_description


def generate_launch_description() -> LaunchDescription:
    """Return the stack in simulation; `--show-args` lists the arguments."""
    return launch_description(tf="true")
