"""A bag at its recorded times: ros2 launch so_arm_policy replay.launch.py bag:=FOLDER."""

from launch import LaunchDescription
from so_arm_policy.ros.launching import replay_description


def generate_launch_description() -> LaunchDescription:
    """Return the replay of a bag; `--show-args` lists the arguments."""
    return replay_description()
