"""Messages in the black box's bag: as they came, garbage too, and to every reader what they are on the live topics."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from black_box_world import finish, read
from ros_world import NAMES, N, wait_until
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability

from so_arm_policy.core.values import JointSample
from so_arm_policy.ros import convert, topics
from so_arm_policy.safety.values import Mode

GARBAGE = {
    "nan": {"q": np.array([math.nan, math.inf, -math.inf, 1e308, -0.0, 5e-324])},
    "velocity": {"dq": np.full(N, math.nan)},
    "short": {"q": np.zeros(2)},
    "long": {"q": np.arange(40.0), "dq": np.zeros(3)},
    "nothing": {"q": np.zeros(0), "joint_names": ()},
    "names": {"joint_names": ("", "gripper", "gripper", "Gelenk \N{LATIN SMALL LETTER A WITH DIAERESIS} 'x'")},
    "stranger": {"source": "someone else", "sequence": 2**64 - 1},
    "past": {"stamp_ns": -(2**31) * 10**9, "observation_stamp_ns": 0},
    "future": {"stamp_ns": (2**31 - 1) * 10**9 + 2**32 - 1},
}


@pytest.mark.parametrize("changes", GARBAGE.values(), ids=GARBAGE)
def test_a_proposal_is_written_as_it_came(make_boxed_world, changes):
    world = make_boxed_world()
    world.step()
    proposal = world.proposal(**changes)
    verdict = world.tick({"pid": proposal}, world.sample())
    assert verdict.mode is Mode.HOLD
    path = world.box.save(verdict.code)
    finish(world)
    assert world.box.failure == ""
    written = read(path)[1]["/proposal/pid"][-1]
    assert written.position.tobytes() == proposal.q.tobytes()
    assert written.velocity.tobytes() == (b"" if proposal.dq is None else proposal.dq.tobytes())
    assert tuple(written.joint_names) == proposal.joint_names
    assert (written.source, written.sequence) == (proposal.source, proposal.sequence)
    assert written.header.stamp.sec * 10**9 + written.header.stamp.nanosec == proposal.stamp_ns


def test_a_measured_state_that_is_garbage_is_written_too(make_boxed_world):
    world = make_boxed_world()
    stamp_ns = GARBAGE["future"]["stamp_ns"]
    sample = JointSample(stamp_ns=stamp_ns, received_ns=world.now_ns, q=np.full(N, math.nan), dq=np.zeros(0))
    path = world.box.save(world.tick({}, sample).code)
    finish(world)
    (written,) = read(path)[1]["/joint_states"]
    assert np.isnan(written.position).all()
    assert written.header.stamp.sec * 10**9 + written.header.stamp.nanosec == stamp_ns
    assert list(written.name) == NAMES


def test_the_bag_tells_types_and_quality_of_service_as_ros_does(make_boxed_world):
    world = make_boxed_world()
    world.step()
    path = world.box.save("test")
    finish(world)
    hashes = {}
    for prefix in os.environ["AMENT_PREFIX_PATH"].split(os.pathsep):
        for file in Path(prefix).glob("share/*/msg/*.json"):
            hashes |= {h["type_name"]: h["hash_string"] for h in json.loads(file.read_text())["type_hashes"]}
    with AnyReader([path]) as reader:
        quality = {c.topic: c.ext.offered_qos_profiles[0] for c in reader.connections}
        assert {c.digest for c in reader.connections} == {hashes[c.msgtype] for c in reader.connections}
        assert "MSG: builtin_interfaces/Time" in reader.connections[0].msgdef.data
    assert quality["/safety/status"].durability is QosDurability.TRANSIENT_LOCAL
    assert quality["/joint_command"].reliability is QosReliability.RELIABLE
    assert quality["/proposal/pid"].reliability is QosReliability.BEST_EFFORT
    metadata = (path / "metadata.yaml").read_text()
    assert "why: test" in metadata
    assert f"- {path.name}.mcap" in metadata


def test_messages_in_the_bag_end_where_they_end_on_the_live_topic(make_boxed_world, graph):
    world = make_boxed_world()
    proposals = [world.proposal(**changes) for changes in ({}, *GARBAGE.values()) if "stamp_ns" not in changes]
    for proposal in proposals:
        world.tick({"pid": proposal})
    path = world.box.save("test")
    finish(world)
    heard = []
    topic = topics.proposal("pid")
    graph.tester.create_subscription(topic.type, topic.name, heard.append, topics.RELIABLE, raw=True)
    say = graph.say(topics.Topic(topic.name, topic.type, topics.RELIABLE))
    for count, proposal in enumerate(proposals):
        say(convert.joint_command(proposal))
        wait_until(lambda wanted=count + 1: len(heard) == wanted)
    with AnyReader([path]) as reader:
        sizes = [len(data) for c, _, data in reader.messages() if c.topic == "/proposal/pid"]
    assert sizes == [len(data) for data in heard]
