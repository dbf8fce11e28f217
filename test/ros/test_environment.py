import os
import subprocess
import sys

import pytest

from so_arm_policy.ros import environment


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """A virtual environment that holds the package, as this process's own."""
    marker = tmp_path / "share/ament_index/resource_index/packages/so_arm_policy"
    marker.parent.mkdir(parents=True)
    marker.touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    return tmp_path


def test_defaults_keep_discovery_on_this_machine_and_rendering_off_screen(prefix):
    result = environment.ros_environment({})
    assert result["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert result["MUJOCO_GL"] == "egl"


def test_by_default_no_memory_is_shared_that_a_killed_node_leaves_behind(prefix):
    name = "FASTDDS_BUILTIN_TRANSPORTS"
    assert environment.ros_environment({})[name] == "UDPv4"
    assert environment.ros_environment({name: "DEFAULT"})[name] == "DEFAULT"


def test_what_a_person_set_is_kept(prefix):
    chosen = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "MUJOCO_GL": "osmesa", "ROS_DOMAIN_ID": "7"}
    assert environment.ros_environment(chosen).items() >= chosen.items()


def test_search_paths_get_the_prefix_in_front_and_keep_the_rest(prefix):
    result = environment.ros_environment({"AMENT_PREFIX_PATH": "/opt/a:/opt/b", "LD_LIBRARY_PATH": "/opt/a/lib"})
    assert result["AMENT_PREFIX_PATH"] == f"{prefix}:/opt/a:/opt/b"
    assert result["LD_LIBRARY_PATH"] == f"{prefix}/lib:/opt/a/lib"
    assert "PYTHONPATH" not in result


def test_what_was_sourced_at_the_build_comes_last(prefix):
    record = prefix / environment.RECORD
    record.parent.mkdir(parents=True)
    record.write_text("AMENT_PREFIX_PATH=/opt/ros/jazzy\nLD_LIBRARY_PATH=\nPYTHONPATH=/opt/ros/jazzy/python\n")
    result = environment.ros_environment({"AMENT_PREFIX_PATH": "/overlay"})
    assert result["AMENT_PREFIX_PATH"] == f"{prefix}:/overlay:/opt/ros/jazzy"
    assert result["LD_LIBRARY_PATH"] == f"{prefix}/lib"
    assert result["PYTHONPATH"] == "/opt/ros/jazzy/python"


def test_a_second_call_changes_nothing(prefix):
    once = environment.ros_environment({"LD_LIBRARY_PATH": f"/first:{prefix}/lib"})
    assert once["LD_LIBRARY_PATH"] == f"/first:{prefix}/lib"
    assert environment.ros_environment(once) == once


def test_a_python_without_the_package_gets_only_the_defaults(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    base = {"AMENT_PREFIX_PATH": "/opt/ros/jazzy"}
    assert environment.ros_environment(base) == {**environment.DEFAULTS, **base}


def test_prepare_starts_the_same_command_again_once(tmp_path):
    """A bare interpreter whose linker path lacks the prefix runs its script one more time, then goes on."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys\n"
        "from so_arm_policy.ros import environment\n"
        f"sys.prefix = {str(tmp_path)!r}\n"
        "print('started', *sys.argv[1:], flush=True)\n"
        "environment.prepare()\n"
        "print(os.environ['LD_LIBRARY_PATH'].split(os.pathsep)[0])\n"
        "print([name for name in os.environ if name.startswith('_SO_ARM')])\n"
    )
    marker = tmp_path / "share/ament_index/resource_index/packages/so_arm_policy"
    marker.parent.mkdir(parents=True)
    marker.touch()
    run = subprocess.run([sys.executable, program, "--flag"], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.splitlines() == ["started --flag", "started --flag", f"{tmp_path}/lib", "[]"]


def test_a_bare_environment_is_enough_for_the_messages():
    """Nothing sourced: the built package's messages load and carry their fields."""
    code = "from so_arm_policy.msg import JointCommand; print(JointCommand(source='hold', position=[0.5]).position)"
    bare = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    run = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "array('d', [0.5])"
