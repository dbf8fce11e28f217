#!/usr/bin/env bash
# Say where ROS 2 comes from: "sourced" when this shell has Jazzy, else "wheels". Another distribution is an error.
set -uo pipefail
if [ -z "${ROS_DISTRO:-}" ]; then
  echo wheels
elif [ "$ROS_DISTRO" != jazzy ]; then
  echo "error: this shell has ROS 2 '$ROS_DISTRO' sourced; so_arm_policy needs 'jazzy', or a shell with none" >&2
  exit 1
elif ! python3 -c 'import rclpy' 2>/dev/null; then
  echo "error: ROS_DISTRO is 'jazzy' but 'python3 -c \"import rclpy\"' fails; source its setup.bash, or unset ROS_DISTRO" >&2
  exit 1
else
  echo sourced
fi
