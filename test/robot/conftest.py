"""Simulated servos for the driver."""

import sys
from pathlib import Path

import pytest

# pytest's importlib mode leaves helper modules beside the tests unfound.
sys.path.insert(0, str(Path(__file__).parent))

from servo_world import ServoWorld  # noqa: E402


@pytest.fixture
def servo_world(tmp_path):
    worlds = []

    def make(**options):
        worlds.append(ServoWorld(tmp_path, **options))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()
