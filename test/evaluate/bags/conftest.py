"""Helpers of the tests of bags."""

import sys
from pathlib import Path

# pytest's importlib mode leaves helper modules beside the tests unfound.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "policy")]
