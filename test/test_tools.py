"""The scripts behind `make`: what they say when a machine lacks something."""

import os
import runpy
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest

TOOLS = Path(__file__).parents[1] / "tools"


def run(script, *args, **changes):
    environment = {name: value for name, value in os.environ.items() if name != "ROS_DISTRO"} | changes
    command = [TOOLS / script, *args]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def wrong_python(tmp_path):
    python = tmp_path / "python3.13"
    python.write_text('#!/bin/sh\ncase "$2" in *version_info*) echo 3.13;; esac\n')
    python.chmod(0o755)
    return python


def test_a_python_of_another_version_is_named_with_the_way_out(wrong_python):
    result = run("check_system.sh", wrong_python)
    assert result.returncode == 1
    assert result.stderr == (
        f"error: '{wrong_python}' is Python 3.13; 3.11 or 3.12 is needed: make PYTHON=python3.12 ...\n"
    )


def test_a_missing_program_names_its_apt_package(tmp_path):
    result = run("check_system.sh", tmp_path / "no-python")
    assert result.returncode == 1
    assert "(apt package: python3-venv python3-dev)" in result.stderr
    assert "sudo apt-get install python3-venv python3-dev" in result.stderr
    assert run("check_system.sh", "--packages", tmp_path / "no-python").stdout == "python3-venv\npython3-dev\n"


def test_ros_comes_from_wheels_unless_jazzy_is_sourced():
    assert run("find_ros.sh").stdout == "wheels\n"
    other = run("find_ros.sh", ROS_DISTRO="humble")
    assert other.returncode == 1
    assert "'humble'" in other.stderr
    assert "'jazzy'" in other.stderr


def test_repaired_exports_name_this_python_and_stay_so():
    repair = runpy.run_path(str(TOOLS / "repair_wheels.py"))["repair"]
    text = 'set(dirs "/opt/python/cp312-cp312/include/python3.12;${prefix}/include")'
    fixed = repair(text)
    assert fixed == f'set(dirs "{sysconfig.get_paths()["include"]};${{prefix}}/include")'
    assert repair(fixed) == fixed
    numpy_dir = "/opt/python/cp311-cp311/lib/python3.11/site-packages/numpy/_core/include"
    assert repair(numpy_dir) == np.get_include()
