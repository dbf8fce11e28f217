"""The whole stack on a robot: ros2 launch so_arm_policy robot.launch.py robot:=mock cameras:=none."""

from launch import LaunchDescription
from so_arm_policy.ros.launching import launch_description


def generate_launch_description() -> LaunchDescription:
    """Return the stack on a robot; which one must be said, and so must the cameras (`--show-args`)."""
    return launch_description(robot=None, cameras=None, tf="true")
