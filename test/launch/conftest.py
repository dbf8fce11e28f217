"""The tests of the launch files need ROS's launch; the wheels have none."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "policy")]
