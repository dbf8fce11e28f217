"""Replay: a bag's messages come back to the graph, in order, with the recorded clock."""

import subprocess
import sys

import numpy as np
import pytest
from ros_world import ROBOT, N, wait_until
from rosbags.rosbag2 import StoragePlugin, Writer

from so_arm_policy.core.errors import InputError
from so_arm_policy.evaluate.bags.types import encoded, known_types, message
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.environment import ros_environment
from so_arm_policy.ros.replay_node import ReplayNode

STRING, JOINT_STATE = "std_msgs/msg/String", "sensor_msgs/msg/JointState"
START_NS = 1_700_000_000 * 10**9


def write_bag(path, plugin=StoragePlugin.MCAP):
    """Forty joint states 5 ms apart, a text, and a topic that nobody here can name."""
    types = known_types().types
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        joints = writer.add_connection("/joint_states", JOINT_STATE, typestore=known_types())
        words = writer.add_connection("/instruction", STRING, typestore=known_types())
        writer.write(words, START_NS, encoded(message(STRING, data="touch the red cube"), STRING))
        for i in range(40):
            at_ns = START_NS + 5_000_000 * i
            stamp = types["builtin_interfaces/msg/Time"](sec=at_ns // 10**9, nanosec=at_ns % 10**9)
            head = types["std_msgs/msg/Header"](stamp=stamp, frame_id="")
            q, none = np.full(N, i / 100), np.zeros(0)
            names = list(ROBOT.joint_names)
            made = message(JOINT_STATE, header=head, name=names, position=q, velocity=none, effort=none)
            writer.write(joints, at_ns, encoded(made, JOINT_STATE))
        strange = writer.add_connection("/x", "strange_msgs/msg/X", msgdef="int8 a", rihs01="RIHS01_" + "0" * 64)
        writer.write(strange, START_NS + 10**8, b"\x00\x01\x00\x00\x01")
    return path


@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_messages_come_back_in_order_with_the_recorded_clock(make_graph, tmp_path, plugin):
    write_bag(tmp_path / "bag", plugin)
    graph = make_graph("-p", f"bag:={tmp_path / 'bag'}", "-p", "clock:=true", "-p", "delay:=0.5")
    states, words, clock = graph.hear(topics.JOINT_STATES), graph.hear(topics.INSTRUCTION), graph.hear(topics.CLOCK)
    graph.spinner.start()
    node = graph.run(ReplayNode())
    wait_until(lambda: node._player.played == 41)
    wait_until(lambda: states and states[-1].position[0] == 0.39)
    assert [m.data for m in words] == ["touch the red cube"]
    values = [m.position[0] for m in states]
    assert values == sorted(values)
    times = [convert.stamp_ns(m.clock) for m in clock]
    assert times == sorted(times)
    assert START_NS - 10**9 < times[0] <= times[-1] == START_NS + 39 * 5_000_000
    assert node._odd() == {"unknown type strange_msgs/msg/X": 1}


def test_so_arm_replay_ends_with_the_bag_and_refuses_what_is_none(tmp_path):
    command = [sys.executable, "-m", "so_arm_policy.cli", "replay", "--delay=0", "--rate=100"]
    bag = str(write_bag(tmp_path / "bag"))
    done = subprocess.run([*command, bag], env=ros_environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "played 41 messages" in done.stdout
    done = subprocess.run([*command, bag + "x"], env=ros_environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "expected a bag" in done.stderr


def test_a_file_that_is_no_bag_ends_the_node(make_graph, tmp_path):
    (tmp_path / "x.db3").write_bytes(b"nothing")
    make_graph("-p", f"bag:={tmp_path / 'x.db3'}")
    with pytest.raises(InputError, match="expected a bag"):
        ReplayNode()
