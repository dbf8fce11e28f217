"""The recorder: what is said on the graph is in the bag, as it was said."""

import os
import signal
import subprocess
import sys

import numpy as np
from rclpy.serialization import deserialize_message
from ros_world import ROBOT, N, joints, repeat, wait_until
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

from so_arm_policy.core.values import CameraImage
from so_arm_policy.evaluate.bags.images import decompressed
from so_arm_policy.evaluate.bags.reader import Bag, Decoder
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.environment import ros_environment
from so_arm_policy.ros.hold_node import HoldNode
from so_arm_policy.ros.message_types import message_class
from so_arm_policy.ros.mock_robot_node import MockRobotNode
from so_arm_policy.ros.recorder_node import RecorderNode
from so_arm_policy.ros.safety_supervisor_node import SafetySupervisorNode
from so_arm_policy.ros.stack import stack
from so_arm_policy.ros.stack_options import StackOptions

JOINT_STATE = "sensor_msgs/msg/JointState"


def heard(node):
    return node._watch.heard


def recorded(path, topic):
    return [r for r in Bag(path).records() if r.topic == topic]


def test_what_is_said_is_in_the_bag_with_latched_topics_and_pictures(make_graph, tmp_path):
    graph = make_graph("-p", f"bag:={tmp_path / 'bag'}")
    latched = graph.tester.create_publisher(String, topics.INSTRUCTION.name, topics.INSTRUCTION.qos)
    latched.publish(String(data="said before anybody listened"))
    node = graph.run(RecorderNode())
    say, see = graph.say(topics.JOINT_STATES), graph.say(topics.image("wrist"))
    rgb = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    picture = convert.image_msg(CameraImage(camera="wrist", stamp_ns=5, rgb=rgb), "eye")
    said = [joints(np.full(N, i / 100)) for i in range(50)]
    for i, msg in enumerate(said):
        say(msg)
        wait_until(lambda i=i: node._writer.count > i)
    see(picture)
    wait_until(lambda: len([s for s in node._watch.heard if "diagnostics" not in s[0]]) == 3)
    count = len(said) + 2
    wait_until(lambda: node._writer.count >= count)
    # Diagnostics count, too: the picture may still be on its way.
    wait_until(lambda: "/wrist/image_raw/compressed" in [t.name for t in node._writer._topics])
    node.stop()
    path = tmp_path / "bag"
    # Not the bytes: what serialize_message leaves between the fields is whatever lay in memory.
    assert [deserialize_message(r.data, JointState) for r in recorded(path, "/joint_states")] == said
    assert {len(r.data) for r in recorded(path, "/joint_states")} == {188}
    assert [r.message().data for r in recorded(path, "/instruction")] == ["said before anybody listened"]
    (small,) = recorded(path, "/wrist/image_raw/compressed")
    assert deserialize_message(decompressed(small.data), Image) == picture
    with Reader(path) as reader:
        qualities = {c.topic: c.ext.offered_qos_profiles[0] for c in reader.connections}
    assert qualities["/instruction"].durability.name == "TRANSIENT_LOCAL"
    assert qualities["/joint_states"].reliability.name == "BEST_EFFORT"
    assert Bag(path).custom == {"robot": ROBOT.name, "namespace": "/"}


def test_pictures_that_a_camera_also_gives_compressed_are_recorded_once(make_graph, tmp_path):
    graph = make_graph("-p", f"bag:={tmp_path / 'bag'}")
    graph.spinner.start()
    for topic in (topics.image("wrist"), topics.compressed_image("wrist"), topics.compressed_image("overhead")):
        graph.tester.create_publisher(topic.type, topic.name, topic.qos)
    node = graph.run(RecorderNode())
    wait_until(lambda: {"/wrist/image_raw", "/overhead/image_raw/compressed"} <= {topic for topic, _ in heard(node)})
    assert "/wrist/image_raw/compressed" not in {topic for topic, _ in heard(node)}


def test_only_the_topics_asked_for_are_recorded(make_graph, tmp_path):
    graph = make_graph("-p", f"bag:={tmp_path / 'bag'}", "-p", "topics:='instruction, /other'")
    node = graph.run(RecorderNode())
    graph.spinner.start()
    say, instruct = (
        graph.tester.create_publisher(t.type, t.name, t.qos) for t in (topics.JOINT_STATES, topics.INSTRUCTION)
    )
    instruct.publish(String(data="hello"))
    repeat(say.publish, joints, lambda: node._writer.count > 0)
    node.stop()
    assert {r.topic for r in Bag(tmp_path / "bag").records()} == {"/instruction"}


def test_a_type_s_name_imports_nothing_that_ros_has_no_definition_of(tmp_path, monkeypatch):
    (tmp_path / "trap").mkdir()
    (tmp_path / "trap/__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("trap/msg/X", "os/msg/X", "../msg/X", "std_msgs/msg/__init__", "std_msgs/msg/String\n", "x"):
        assert message_class(name) is None
    assert message_class("std_msgs/msg/String") is String
    assert message_class("geometry_msgs/msg/PoseStamped").__name__ == "PoseStamped"


def test_a_disk_without_room_ends_the_bag_and_not_the_node(make_graph, tmp_path):
    graph = make_graph("-p", f"bag:={tmp_path / 'bag'}", "-p", f"least_free_mib:={2**20}")
    node = graph.run(RecorderNode())
    graph.spinner.start()
    wait_until(lambda: node.counts["errors: bag"] > 0)
    assert (tmp_path / "bag/metadata.yaml").exists()
    assert "MiB free" in Bag(tmp_path / "bag").custom["failure"]


def test_a_stack_that_records_has_the_recorder_first():
    specs = stack(StackOptions(cameras="none", control_source="hold", record=True, bag="somewhere"))
    assert [s.name for s in specs] == ["recorder", "simulator", "hold", "safety_supervisor"]
    assert specs[0].parameters["bag"] == "somewhere"


def test_each_tick_of_the_supervisor_is_in_the_bag_with_what_it_commanded(make_graph, tmp_path):
    graph = make_graph("-p", f"recorder:bag:={tmp_path / 'bag'}", "-p", "safety_supervisor:source:=hold")
    node = graph.run(RecorderNode())
    ticks = graph.hear(topics.SAFETY_TICK)
    for make in (MockRobotNode, HoldNode, SafetySupervisorNode):
        graph.run(make())
    graph.spinner.start()
    wait_until(lambda: sum(t.verdict == "PASS" for t in ticks) > 30 and ("/joint_command", JOINT_STATE) in heard(node))
    seen = node._writer.count
    wait_until(lambda: node._writer.count > seen + 300)
    node.stop()
    decoder = Decoder()
    ticks = [decoder.message(r) for r in recorded(tmp_path / "bag", "/safety/tick")]
    commands = [decoder.message(r) for r in recorded(tmp_path / "bag", "/joint_command")]
    by_time = {convert.stamp_ns(c.header.stamp): list(c.position) for c in commands}
    matched = [t for t in ticks if convert.stamp_ns(t.header.stamp) in by_time]
    assert len(matched) > 20
    for tick in matched:
        assert list(tick.command) == by_time[convert.stamp_ns(tick.header.stamp)]
    assert not decoder.skipped


def test_so_arm_record_ends_on_a_signal_with_a_whole_bag(tmp_path):
    command = [sys.executable, "-m", "so_arm_policy.cli", "record", str(tmp_path / "bag")]
    process = subprocess.Popen(command, env=ros_environment(), stdout=subprocess.PIPE, text=True)
    wait_until(lambda: any((tmp_path / "bag").glob("*.mcap")))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert sorted(os.listdir(tmp_path / "bag")) == ["bag_0.mcap", "metadata.yaml"]
    done = subprocess.run(command, env=ros_environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "expected a new folder" in done.stderr
