"""The black box: a supervisor in simulated time, a fault that latches, and what the bag says of it."""

import json
import math
import os
import re
import resource
from pathlib import Path

import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from ros_world import NAMES, ROBOT, N, wait_until
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability

from so_arm_policy.core.values import JointSample, Proposal
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.black_box import KEPT_BAGS, MOST_WAITING, TYPES, BlackBox
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import Fault, Mode, TickInput

PERIOD_NS = 1_000_000_000 // 120
ROS_START = 1_795_395_723_000_000_000  # 2026-11-23 01:02:03
STOP = Fault(code="servo.gone", text="got no answer, expected one", latches=True)
QUICK_S = 30 / 120
CLASSES = {name: kind for kind, name in TYPES.items()}


class World:
    """An arm that obeys at once, two sources of which `pid` acts, a supervisor and its box; time is an argument."""

    def __init__(self, folder, seconds=10.0, **options):
        self.supervisor = Supervisor(SupervisorConfig(), ROBOT, "pid")
        self.box = BlackBox(ROBOT, folder, seconds, **options)
        self.now_ns, self.ros_ns = 5_000_000_000, ROS_START
        self.q = ROBOT.home.copy()
        self.count = 0
        self.noted = []

    def sample(self):
        return JointSample(stamp_ns=self.ros_ns - 3, received_ns=self.now_ns, q=self.q.copy(), dq=np.full(N, 0.25))

    def proposal(self, source="pid", **changes):
        self.count += 1
        values = {
            "source": source,
            "sequence": self.count,
            "stamp_ns": self.ros_ns - 2,
            "observation_stamp_ns": self.ros_ns - 3,
            "received_ns": self.now_ns,
            "joint_names": ROBOT.joint_names,
            "q": ROBOT.home + 0.02 * math.sin(self.count / 60),
        }
        return Proposal(**values | changes)

    def tick(self, proposals, sample=None, **changes):
        self.now_ns, self.ros_ns = self.now_ns + PERIOD_NS, self.ros_ns + PERIOD_NS
        tick = TickInput(
            now_ns=self.now_ns, ros_now_ns=self.ros_ns, sample=sample, proposals=dict(proposals), **changes
        )
        verdict = self.supervisor.step(tick)
        if verdict.command is not None:
            self.q = verdict.command.copy()
        self.box.note(tick, verdict)
        self.noted.append((tick, verdict))
        return verdict

    def step(self, **changes):
        """Tick with a new joint state and something new from both sources."""
        proposals = {source: self.proposal(source) for source in ("pid", "hold")}
        return self.tick(proposals, self.sample(), **changes)

    def fail(self):
        """Tick with a fault that latches; returns its code."""
        verdict = self.step(faults=(STOP,))
        assert verdict.mode is Mode.ESTOP
        return verdict.code

    def messages(self):
        """Topic, log time and message of all that was noted; all of it was new. Without the statuses."""
        expected = []
        for tick, verdict in self.noted:
            said = [(topics.proposal(s), convert.joint_command(p)) for s, p in tick.proposals.items()]
            said.append(
                (topics.JOINT_STATES, convert.joint_state(ROBOT, tick.sample.stamp_ns, tick.sample.q, tick.sample.dq))
            )
            if verdict.command is not None:
                said.append((topics.JOINT_COMMAND, convert.joint_state(ROBOT, tick.ros_now_ns, verdict.command)))
            expected += [(f"/{topic.name}", tick.ros_now_ns, msg) for topic, msg in said]
        return expected


@pytest.fixture
def make_world(tmp_path):
    made = []

    def make(folder=tmp_path / "boxes", *args, **options):
        made.append(World(folder, *args, **options))
        return made[-1]

    yield make
    assert all(world.box.close(timeout_s=60) for world in made)


def read(bag):
    """Topic, log time and ROS message of each in `bag`, and the messages of each topic as another reader sees them."""
    said, by_topic = [], {}
    with AnyReader([bag]) as reader:
        for connection, at_ns, data in reader.messages():
            said.append((connection.topic, at_ns, deserialize_message(bytes(data), CLASSES[connection.msgtype])))
            by_topic.setdefault(connection.topic, []).append(reader.deserialize(data, connection.msgtype))
    return said, by_topic


def finish(world):
    assert world.box.close(timeout_s=60)


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_fault_that_latches_leaves_a_bag_with_all_that_was_seen_and_said(make_world):
    world = make_world()
    for _ in range(60):
        world.step()
    code = world.fail()
    path = world.box.save(code)
    finish(world)

    assert path == world.box.written == path.parent / "black_box_2026-11-23T01-02-03_servo-gone"
    assert listing(path.parent) == [path.name]
    assert listing(path) == [f"{path.name}.mcap", "metadata.yaml"]
    assert world.box.failure == ""
    said, by_topic = read(path)
    counts = {topic: len(found) for topic, found in by_topic.items()}
    names = ["/proposal/pid", "/proposal/hold", "/joint_states", "/joint_command", "/safety/status"]
    assert counts == dict.fromkeys(names, 61)
    # What the live topics carry, in the order of the ticks.
    assert [m for m in said if m[0] != "/safety/status"] == world.messages()
    assert [topic for topic, _, _ in said[:5]] == names


def test_the_status_of_each_tick_is_its_verdict(make_world):
    world = make_world()
    for _ in range(5):
        world.step()
    path = world.box.save(world.fail())
    finish(world)
    statuses = read(path)[1]["/safety/status"]
    for status, (tick, verdict) in zip(statuses, world.noted, strict=True):
        assert status.header.stamp.sec * 10**9 + status.header.stamp.nanosec == tick.ros_now_ns
        said = (status.state, status.source, status.verdict, status.reason_code, status.reason_text)
        assert said == (verdict.mode, verdict.source, verdict.action.value, verdict.code, verdict.text)
        assert status.worst_margin == (1.0 if verdict.margin is None else verdict.margin)
    assert {Mode(status.state) for status in statuses} == {Mode.ACTIVE, Mode.ESTOP}
    assert (statuses[-1].reason_code, statuses[-1].verdict) == ("servo.gone", "ESTOP")


def test_what_did_not_change_is_said_once(make_world):
    world = make_world()
    sample, proposals = world.sample(), {"pid": world.proposal()}
    for _ in range(4):
        world.tick(proposals, sample)
    proposals = {**proposals, "hold": world.proposal("hold")}
    for _ in range(3):
        world.tick(proposals, sample)
    path = world.box.save("test")
    finish(world)
    said, by_topic = read(path)
    assert {topic: len(found) for topic, found in by_topic.items()} == {
        "/proposal/pid": 1,
        "/proposal/hold": 1,
        "/joint_states": 1,
        "/joint_command": 7,
        "/safety/status": 7,
    }
    seen = {topic: at_ns for topic, at_ns, _ in reversed(said)}
    assert seen["/proposal/pid"] == seen["/joint_states"] == world.noted[0][0].ros_now_ns
    assert seen["/proposal/hold"] == world.noted[4][0].ros_now_ns


def test_before_the_first_joint_state_there_is_no_command_in_the_bag(make_world):
    world = make_world()
    world.tick({})
    path = world.box.save("estop.request")
    finish(world)
    assert list(read(path)[1]) == ["/safety/status"]


def test_only_the_last_ticks_are_kept(make_world):
    world = make_world(seconds=QUICK_S)
    for _ in range(100):
        world.step()
    path = world.box.save("test")
    for _ in range(5):  # what comes after the fault is not in the bag, even while that is written
        world.step()
    finish(world)
    world.noted = world.noted[70:100]
    said, by_topic = read(path)
    assert len(by_topic["/safety/status"]) == 30
    assert [m for m in said if m[0] != "/safety/status"] == world.messages()


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
def test_a_proposal_is_written_as_it_came(make_world, changes):
    world = make_world()
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


def test_a_measured_state_that_is_garbage_is_written_too(make_world):
    world = make_world()
    stamp_ns = GARBAGE["future"]["stamp_ns"]
    sample = JointSample(stamp_ns=stamp_ns, received_ns=world.now_ns, q=np.full(N, math.nan), dq=np.zeros(0))
    path = world.box.save(world.tick({}, sample).code)
    finish(world)
    (written,) = read(path)[1]["/joint_states"]
    assert np.isnan(written.position).all()
    assert written.header.stamp.sec * 10**9 + written.header.stamp.nanosec == stamp_ns
    assert list(written.name) == NAMES


def test_a_clock_that_goes_back_loses_nothing(make_world):
    world = make_world()
    for _ in range(4):
        world.step()
    world.ros_ns -= 10**9
    for _ in range(3):
        world.step()
    path = world.box.save("time.clock_back")
    finish(world)
    said = [m for m in read(path)[0] if m[0] != "/safety/status"]
    assert said == sorted(world.messages(), key=lambda m: m[1])  # readers put them in the order of log time


def test_a_second_fault_while_the_first_is_written_is_a_second_bag(make_world):
    world = make_world()
    for _ in range(200):
        world.step()
    paths = [world.box.save(world.fail())]
    world.tick({"pid": world.proposal()}, world.sample(), reset=True)
    paths.append(world.box.save(world.fail()))
    paths.append(world.box.save("servo.gone"))
    finish(world)
    assert [path.name.partition("_servo-gone")[2] for path in paths] == ["", "-2", "-3"]
    assert [len(read(path)[1]["/safety/status"]) for path in paths] == [201, 203, 203]


def test_names_are_taken_once_also_by_an_earlier_run(make_world, tmp_path):
    for _ in range(2):
        world = make_world()
        world.step()
        path = world.box.save("a/b: ../c")
        finish(world)
    assert path == tmp_path / "boxes" / "black_box_2026-11-23T01-02-03_a-b-c-2"
    assert len(listing(path.parent)) == 2
    assert world.box.save("") == path.with_name("black_box_2026-11-23T01-02-03_unknown")


def test_a_second_arms_box_in_the_same_folder_loses_nothing(make_world):
    left, right = make_world(namespace="/left"), make_world(namespace="/right")
    for world in (left, right):
        world.step()
    first = left.box.save("estop.request")
    finish(left)
    assert right.box.save("estop.request") == first
    finish(right)
    assert right.box.written == first.with_name(f"{first.name}-other-2")
    assert right.box.failure.startswith(f"black box: got {first}, which is somebody else's, expected")
    for bag, name in ((left.box.written, "/left"), (right.box.written, "/right")):
        assert f"{name}/joint_states" in read(bag)[1]


def test_a_folder_that_cannot_be_is_said_and_the_next_bag_is_written(make_world, tmp_path):
    folder = tmp_path / "file"
    folder.write_text("mine")
    world = make_world(folder)
    world.step()
    lost = world.box.save("test")
    wait_until(lambda: world.box.failure)
    assert re.fullmatch(rf"black box: got FileExistsError \(.*\), expected to write {lost}: .*", world.box.failure)
    assert (folder.read_text(), world.box.written) == ("mine", None)
    folder.unlink()
    path = world.box.save("test")
    finish(world)
    assert world.box.written == path
    assert listing(folder) == [path.name]


def test_a_full_disk_leaves_nothing_half_written(make_world, tmp_path):
    world = make_world()
    for _ in range(120):
        world.step()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))  # bytes: the operating system then refuses as if full
    try:
        world.box.save("test")
        finish(world)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert world.box.failure.startswith("black box: got OSError ([Errno 27]")
    assert listing(tmp_path / "boxes") == []


def test_nothing_noted_and_too_many_waiting_are_said(make_world, tmp_path):
    world = make_world()
    world.box.save("test")
    assert world.box.failure.startswith("black box: got no tick yet, expected")
    for _ in range(100):
        world.step()
    paths = []
    while "no tick yet" in world.box.failure:
        paths.append(world.box.save("test"))
    text = f"got {MOST_WAITING} bags that wait to be written, expected"
    assert world.box.failure.startswith(f"black box: {text}")
    assert world.box.failure.endswith(f"no {paths[-1]}")
    finish(world)
    assert listing(tmp_path / "boxes") == sorted(path.name for path in paths[:-1])


def test_the_oldest_bags_make_room_and_nothing_else_is_touched(make_world, tmp_path):
    folder = tmp_path / "boxes"
    foreign = ["black_box", "black_box_notes", "kept_black_box_2026-11-23T01-02-03_a", "ours"]
    olds = [f"black_box_2030-01-01T00-00-{n:02d}_old" for n in range(KEPT_BAGS + 2)]
    left_over = ".black_box_abcd_123.unfinished"
    for at, name in enumerate([*foreign, left_over, *olds]):
        (folder / name).mkdir(parents=True)
        (folder / name / "content").write_text(name)
        os.utime(folder / name, ns=(at, at))  # older by the disk, though of a later ROS time
    (tmp_path / "elsewhere").mkdir()
    (folder / "black_box_2020-01-01T00-00-00_link").symlink_to(tmp_path / "elsewhere")
    (folder / "black_box_2020-01-01T00-00-00_file").write_text("a file")
    world = make_world(folder)
    world.step()
    path = world.box.save("new")
    finish(world)
    assert world.box.failure == ""
    links = ["black_box_2020-01-01T00-00-00_link", "black_box_2020-01-01T00-00-00_file"]
    assert listing(folder) == sorted([*foreign, *links, *olds[-(KEPT_BAGS - 1) :], path.name])


def test_the_bag_tells_types_and_quality_of_service_as_ros_does(make_world):
    world = make_world()
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


def test_messages_in_the_bag_end_where_they_end_on_the_live_topic(make_world, graph):
    world = make_world()
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
