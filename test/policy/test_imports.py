"""The runtime needs neither torch nor ROS."""

import subprocess
import sys
from pathlib import Path

FORBIDDEN = ("torch", "rclpy", "onnx", "mujoco", "so_arm_policy.learn", "so_arm_policy.ros", "so_arm_policy.sim")


def test_a_policy_runs_in_a_process_without_torch_and_ros(folder: Path) -> None:
    code = f"""
import sys
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.policy.system1 import System1
from so_arm_policy.policy.system2 import System2
from so_arm_policy.robot.description import load_robot
robot = load_robot("so101")
bundle = load_bundle({str(folder)!r}, robot)
System1(bundle, robot), System2(bundle, robot)
found = [name for name in {FORBIDDEN!r} if name in sys.modules]
sys.exit(f"imported {{found}}" if found else 0)
"""
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
