"""Demonstrations for every test of learning, collected once."""

import sys
from pathlib import Path

import pytest

# pytest's importlib mode leaves helper modules beside the tests unfound.
sys.path.insert(0, str(Path(__file__).parent))

from small_training import COLLECT, opened  # noqa: E402

from so_arm_policy.learn.demonstrations.collect import collect  # noqa: E402


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demonstrations")
    for config in COLLECT:
        collect(config, folder / config.task, jobs=1)
    return folder


@pytest.fixture(scope="session")
def data(folder):
    return opened(folder)
