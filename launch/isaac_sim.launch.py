"""The whole stack on an Isaac Sim that runs already: ros2 launch so_arm_policy isaac_sim.launch.py (docs/isaac.md)."""

from launch import LaunchDescription
from so_arm_policy.ros.launching import launch_description


def generate_launch_description() -> LaunchDescription:
    """Return the stack without a robot of its own, in Isaac Sim's time; `remap` fits topics of other scenes."""
    return launch_description(robot="isaac", use_sim_time="true", tf="true")
