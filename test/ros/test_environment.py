import os
import subprocess
import sys
from pathlib import Path

import pytest

from so_arm_policy.ros import environment

LOOK_AT_SOCKETS = """
import os
import rclpy
from std_msgs.msg import String

rclpy.init()
node = rclpy.create_node("looking")
node.create_publisher(String, "a", 1)
node.create_subscription(String, "b", print, 1)
fds = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
links = [os.readlink(fd) for fd in fds if os.path.islink(fd)]  # not that of the listing
own = {link[8:-1] for link in links if link.startswith("socket:[")}
rows = [line.split() for line in open("/proc/net/udp")][1:]
print(*sorted({row[1].split(":")[0] for row in rows if row[9] in own}))
print("/dev/shm/fastrtps" in open("/proc/self/maps").read())
"""


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
    assert result["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SYSTEM_DEFAULT"
    assert {Path(result[name]).name for name in environment.PROFILES} == {"fastdds_localhost.xml"}
    assert result["MUJOCO_GL"] == "egl"


@pytest.mark.parametrize(
    "chosen", [{"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, {"FASTRTPS_DEFAULT_PROFILES_FILE": "/mine.xml"}]
)
def test_another_dds_or_profile_gets_the_range_of_ros(prefix, chosen):
    result = environment.ros_environment(chosen)
    assert result["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert result.get("FASTRTPS_DEFAULT_PROFILES_FILE") == chosen.get("FASTRTPS_DEFAULT_PROFILES_FILE")


def test_what_a_person_set_is_kept(prefix):
    chosen = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "MUJOCO_GL": "osmesa", "ROS_DOMAIN_ID": "7"}
    result = environment.ros_environment(chosen)
    assert result.items() >= chosen.items()
    assert not set(environment.PROFILES) & set(result)


def test_nodes_talk_on_the_loopback_interface_alone_and_share_no_memory():
    """Shared memory of a killed process makes its successor deaf."""
    set_by_us = {environment.RANGE, *environment.PROFILES}
    run = subprocess.run(
        [sys.executable, "-c", LOOK_AT_SOCKETS],
        env=environment.ros_environment({name: value for name, value in os.environ.items() if name not in set_by_us}),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    bound, shares_memory = run.stdout.splitlines()[-2:]
    assert bound == "0100007F"  # 127.0.0.1, as /proc writes it
    assert shares_memory == "False"


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
    assert environment.ros_environment(base) == {**environment.DEFAULTS, **environment.dds_environment(base), **base}


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
