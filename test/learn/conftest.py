"""Demonstrations for every test of learning, collected once, and bundles of them, trained and exported once."""

import functools
import sys
from pathlib import Path

import pytest

# pytest's importlib mode leaves helper modules beside the tests unfound.
sys.path.insert(0, str(Path(__file__).parent))

from small_training import COLLECT, opened, training  # noqa: E402

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


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The folder of a run; who changes what is in it takes a folder of its own."""
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="session")
def bundle_of(run, data, tmp_path_factory):
    """Gives the folder of the bundle of a family, trained in `run`; who changes it copies it first."""
    folder = tmp_path_factory.mktemp("bundles")

    @functools.cache
    def bundle(family):
        training(run, family, data).bundle(folder / family)
        return folder / family

    return bundle
