"""A supervisor in simulated time with its black box, and a reader of the bags that this leaves."""

import math

import numpy as np
from rclpy.serialization import deserialize_message
from ros_world import ROBOT, N
from rosbags.highlevel import AnyReader

from so_arm_policy.core.values import JointSample, Proposal
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.black_box import TYPES, BlackBox
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import Fault, Mode, TickInput

PERIOD_NS = 1_000_000_000 // 120
ROS_START = 1_795_395_723_000_000_000  # 2026-11-23 01:02:03
STOP = Fault(code="servo.gone", text="got no answer, expected one", latches=True)
CLASSES = {name: kind for kind, name in TYPES.items()}


class BlackBoxWorld:
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
