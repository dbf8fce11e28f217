"""The supervisor's black box: what it saw and judged in the last seconds, written to a bag when a fault latches."""

import os
import queue
import re
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from sensor_msgs.msg import JointState

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.core.values import JointSample, MotorCommand, MotorSample, Proposal
from so_arm_policy.evaluate.bags.types import exact, known_types
from so_arm_policy.msg import JointCommand, MotorStates, SafetyStatus
from so_arm_policy.ros import convert, topics
from so_arm_policy.safety.values import TickInput, Verdict

KEPT_BAGS = 20
MOST_WAITING = 8  # bags to be written; each keeps its own ticks in memory
SETTLE_S = 0.5  # before the work begins: the arm brakes first, undisturbed
BREATH_S = 0.001  # rest after the messages of each tick, so that the tick thread finds the interpreter free
LAST_SECOND = 2**31 - 1  # that a stamp can say
OURS = re.compile(r"black_box_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d_\w[\w-]*|\.black_box_\w+\.unfinished")
TYPES = {
    JointCommand: "so_arm_policy/msg/JointCommand",
    MotorStates: "so_arm_policy/msg/MotorStates",
    JointState: "sensor_msgs/msg/JointState",
    SafetyStatus: "so_arm_policy/msg/SafetyStatus",
}

Noted = tuple[TickInput, Verdict]
Order = tuple[Path, str, Sequence[Noted]]  # a bag to write: where, why, of which ticks


class BlackBox:
    """Remembers the newest ticks and writes them, when told to, in a thread of its own. One thread notes and saves.

    The folder keeps the newest KEPT_BAGS bags; give one that is to stay a name that begins otherwise.

    failure: the last thing that went wrong, empty when nothing did; written: the newest bag that is whole.
    """

    def __init__(
        self, robot: RobotConfig, folder: Path, seconds: float = 10.0, rate_hz: int = CONTROL_HZ, namespace: str = "/"
    ) -> None:
        """Begin to remember. Never fails because of `folder`, which need not exist: that shows in `failure`.

        Args:
            robot: whose joints are judged.
            folder: where the bags go.
            seconds: how far back a bag reaches.
            rate_hz: ticks a second.
            namespace: of the live topics, which the bag gives the same names.
        """
        self.failure = ""
        self.written: Path | None = None
        self._robot = robot
        self._folder = folder
        self._namespace = namespace.rstrip("/")
        self._ticks: deque[Noted] = deque(maxlen=max(1, round(seconds * rate_hz)))
        # Made now: it takes a fifth of a second of the interpreter, which ticks could not spare later.
        self._types = known_types()
        for name in TYPES.values():
            self._types.get_msgdef(name)  # makes its code, once
        # Looked up once, so that naming a bag needs no file system, which may keep the tick thread waiting.
        self._names: set[str] = set()
        with suppress(OSError):
            self._names.update(os.listdir(folder))
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._work, name="black box", daemon=True)
        self._thread.start()

    def note(self, tick: TickInput, verdict: Verdict) -> None:
        """Remember one tick; call it once a tick. Keeps references only."""
        self._ticks.append((tick, verdict))

    def save(self, why: str) -> Path:
        """Begin to write what is remembered, and return at once; `why` is the code of the fault.

        Returns:
            Where the whole bag will be; nothing is there before. When it cannot be written, `failure` says so.
        """
        ticks = tuple(self._ticks)
        path = self._folder / self._free_name(ticks[-1][0].ros_now_ns if ticks else 0, why)
        if self._orders.qsize() >= MOST_WAITING or not ticks:
            got = f"{MOST_WAITING} bags that wait to be written" if ticks else "no tick yet"
            self.failure = f"black box: got {got}, expected ticks to write and time to write them: no {path}"
        else:
            self._orders.put((path, why, ticks))
        return path

    def close(self, timeout_s: float | None = None) -> bool:
        """Write what waits, without resting, and end the thread; return whether that was done within `timeout_s`."""
        self._hurry.set()
        self._orders.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _free_name(self, ros_now_ns: int, why: str) -> str:
        at = datetime.fromtimestamp(ros_now_ns // NS, UTC)
        code = re.sub(r"\W+", "-", why, flags=re.ASCII).strip("-")[:60] or "unknown"
        name = base = f"black_box_{at:%Y-%m-%dT%H-%M-%S}_{code}"
        count = 1
        # Simulated time begins anew in each run, and a fault may come back within a second.
        while name in self._names:
            count += 1
            name = f"{base}-{count}"
        self._names.add(name)
        return name

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            self._hurry.wait(SETTLE_S)
            try:
                self.written = self._write(*order)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one bag, the next must be written
                self._fail(error, f"to write {order[0]}: that bag is lost")
                continue
            try:
                self._prune(self.written)
            except OSError as error:
                self._fail(error, f"to delete bags beyond {KEPT_BAGS} in {self._folder}")

    def _fail(self, error: Exception, expected: str) -> None:
        self.failure = f"black box: got {type(error).__name__} ({error}), expected {expected}"

    def _write(self, path: Path, why: str, ticks: Sequence[Noted]) -> Path:
        """Write a bag beside its place and move it there when it is whole; returns the place."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # A folder around the bag, because the files in a bag are named after it.
        around = Path(tempfile.mkdtemp(prefix=".black_box_", suffix=".unfinished", dir=self._folder))
        try:
            bag = around / path.name
            with Writer(bag, version=Writer.VERSION_LATEST, storage_plugin=StoragePlugin.MCAP) as writer:
                for key, value in {"why": why, "text": ticks[-1][1].text, "robot": self._robot.name}.items():
                    writer.set_custom_data(key, value)
                self._fill(writer, ticks)
            for part in (*bag.iterdir(), bag):
                _flush(part)
            return self._move(bag, path)
        finally:
            shutil.rmtree(around, ignore_errors=True)

    def _fill(self, writer: Writer, ticks: Sequence[Noted]) -> None:
        """Add the messages in their order; log time is the ROS time of the tick, which may go back or stand still."""
        connections: dict[str, Connection] = {}
        for at_ns, messages in _messages(self._robot, ticks):
            for topic, msg in messages:
                if topic.name not in connections:
                    connections[topic.name] = writer.add_connection(
                        f"{self._namespace}/{topic.name}",
                        TYPES[topic.type],
                        typestore=self._types,
                        offered_qos_profiles=[_quality(topic)],
                    )
                writer.write(connections[topic.name], at_ns, exact(serialize_message(msg), TYPES[type(msg)]))
            self._hurry.wait(BREATH_S)

    def _move(self, bag: Path, path: Path) -> Path:
        """Move a whole bag to its place, or beside it where another process (a second arm's) was there first."""
        count, free = 1, path
        while os.path.lexists(free):
            count += 1
            free = path.with_name(f"{path.name}-other-{count}")
        bag.rename(free)  # fails where another process took the name since, unless it holds nothing yet
        if free != path:
            self.failure = f"black box: got {path}, which is somebody else's, expected a free name: wrote {free}"
        return free

    def _prune(self, newest: Path) -> None:
        """Delete the oldest of what is too many, a killed process's rests too; by the disk's time, not ROS's."""
        ours = [p for p in self._folder.iterdir() if OURS.fullmatch(p.name) and p.is_dir() and not p.is_symlink()]
        older = sorted((p for p in ours if p != newest), key=lambda p: (p.stat().st_mtime_ns, p.name))
        for path in older[: max(0, len(ours) - KEPT_BAGS)]:
            shutil.rmtree(path)


def _messages(robot: RobotConfig, ticks: Sequence[Noted]) -> Iterator[tuple[int, list[tuple[topics.Topic, Any]]]]:
    """Yield the log time, ROS ns, and the messages of each tick: what was new, what was commanded and why."""
    proposals: dict[str, Proposal] = {}
    sample: JointSample | None = None
    motors: MotorSample | None = None
    for tick, verdict in ticks:
        now_ns = tick.ros_now_ns
        messages: list[tuple[topics.Topic, Any]] = []
        # New is another object, not another value: a source that repeats itself is worth seeing.
        for source, proposal in tick.proposals.items():
            if proposals.get(source) is not proposal:
                proposals[source] = proposal
                messages.append((topics.proposal(source), _proposal_msg(proposal)))
        if tick.sample is not None and tick.sample is not sample:
            sample = tick.sample
            messages.append((topics.JOINT_STATES, _sample_msg(robot, sample)))
        if tick.motors is not None and tick.motors is not motors:
            motors = tick.motors
            messages.append((topics.MOTOR_STATES, _motors_msg(robot, motors)))
        if verdict.command is not None:
            command = MotorCommand(verdict.command, verdict.limp)
            messages.append((topics.JOINT_COMMAND, convert.motor_command_msg(robot, now_ns, command)))
        messages.append((topics.SAFETY_STATUS, _status_msg(now_ns, verdict)))
        yield max(0, now_ns), messages


def _proposal_msg(proposal: Proposal) -> JointCommand:
    """Return the message as it arrived."""
    msg = convert.joint_command(replace(proposal, stamp_ns=0, observation_stamp_ns=0))
    msg.header.stamp = _time_msg(proposal.stamp_ns)
    msg.observation_stamp = _time_msg(proposal.observation_stamp_ns)
    return msg


def _sample_msg(robot: RobotConfig, sample: JointSample) -> JointState:
    """Return the robot's part of the message as it arrived."""
    msg = convert.joint_state(robot, 0, sample.q, sample.dq)
    msg.header.stamp = _time_msg(sample.stamp_ns)
    return msg


def _motors_msg(robot: RobotConfig, motors: MotorSample) -> MotorStates:
    """Return the message as it arrived."""
    msg = convert.motor_states_msg(robot, replace(motors, stamp_ns=0))
    msg.header.stamp = _time_msg(motors.stamp_ns)
    return msg


def _time_msg(ns: int) -> Time:
    """Return the stamp; seconds beyond the last, which `convert.time_msg` refuses, are nanoseconds, as they were."""
    sec = min(ns // NS, LAST_SECOND)
    return Time(sec=sec, nanosec=ns - sec * NS)


def _status_msg(now_ns: int, verdict: Verdict) -> SafetyStatus:
    """Return the status of one tick.

    Other than live, worst_margin is that of this tick alone. Counts are left empty: they are the sums of what the bag
    shows one by one.
    """
    msg = SafetyStatus(
        state=int(verdict.mode),
        source=verdict.source,
        verdict=verdict.action.value,
        reason_code=verdict.code,
        reason_text=verdict.text,
        doubts=list(verdict.doubts),
        slowed=verdict.slowed,
        worst_margin=1.0 if verdict.margin is None else float(verdict.margin),
    )
    msg.header.stamp = convert.time_msg(now_ns)
    return msg


def _quality(topic: topics.Topic) -> Qos:
    """Return a topic's quality of service in the bag's form, so that it is played back to the same listeners."""
    unlimited = QosTime(0, 0)  # what ROS takes for "not given"
    return Qos(
        history=QosHistory[topic.qos.history.name],
        depth=topic.qos.depth,
        reliability=QosReliability[topic.qos.reliability.name],
        durability=QosDurability[topic.qos.durability.name],
        deadline=unlimited,
        lifespan=unlimited,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=unlimited,
        avoid_ros_namespace_conventions=False,
    )


def _flush(path: Path) -> None:
    """Have a file or folder on the disk, so that a power cut leaves no bag that only looks whole."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
