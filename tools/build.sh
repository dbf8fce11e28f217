#!/usr/bin/env bash
# Build this package into the virtual environment. Usage: tools/build.sh VENV wheels|sourced
# "wheels": the environment holds ROS 2 itself. "sourced": ROS 2 is on the search paths, and what was sourced
# is recorded, so that .venv/bin/so-arm finds it from any shell.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$(cd "$1" && pwd)
mode=$2

export PATH="$venv/bin:$PATH"
if [ "$mode" = wheels ]; then
  unset PYTHONPATH LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
  export AMENT_PREFIX_PATH="$venv" CMAKE_PREFIX_PATH="$venv"
  "$venv/bin/python" tools/repair_wheels.py
  packages=(tf2_msgs so_arm_policy)
else
  packages=(so_arm_policy)
fi

mkdir -p build
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
echo "$PWD" >"$site/so_arm_policy_checkout.pth"

# Files that left the sources would stay here as dangling links.
rm -rf "$venv"/share/so_arm_policy/{launch,config,bundles,urdf}

log=build/colcon.log
if ! colcon --log-base build/log build --base-paths . tools/tf2_msgs --packages-select "${packages[@]}" \
  --build-base build/colcon --merge-install --install-base "$venv" --symlink-install \
  --cmake-args -DBUILD_TESTING=OFF -DSO_ARM_POLICY_IN_PLACE=ON -DPython3_EXECUTABLE="$venv/bin/python" \
  >"$log" 2>&1; then
  tail -n 60 "$log" >&2
  echo "error: colcon build failed; the whole log is $log" >&2
  exit 1
fi
tail -n 1 "$log"

if [ "$mode" = sourced ]; then
  for name in AMENT_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH; do
    echo "$name=${!name:-}"
  done >"$venv/share/so_arm_policy/sourced_environment"
fi
