"""`so-arm record-episodes`: demonstrations on a running stack, a bag for each, timed as by lerobot-record."""

import argparse
import math
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import String

from so_arm_policy.core.errors import ConfigError, DeviceError
from so_arm_policy.evaluate.bags.images import CODECS
from so_arm_policy.ros import keys, topics
from so_arm_policy.ros.message_types import message_class
from so_arm_policy.ros.node_spec import NodeSpec
from so_arm_policy.ros.operator import operator
from so_arm_policy.ros.stack import recorder
from so_arm_policy.ros.stack_options import StackOptions
from so_arm_policy.ros.topic_watch import topics_named, worth_hearing
from so_arm_policy.ros.up import Stack

RECORDER = "episode_recorder"
POLL_S = 0.05
READY_S = 60.0
LONGEST_S = 3600.0


class NotReadyError(DeviceError):
    """There is nothing to record."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """What is recorded: how many episodes of how many seconds, with time to put things back, into one folder.

    topics: only these, joined by commas; empty: all.
    """

    folder: Path
    instruction: str
    episodes: int
    episode_time_s: float
    reset_time_s: float
    topics: str = ""

    def __post_init__(self) -> None:
        """Refuse what records nothing. Raises ConfigError."""
        if not self.instruction.strip():
            raise ConfigError(f"instruction: got {self.instruction!r}, expected words")
        if not 0 < self.episodes <= 10_000:
            raise ConfigError(f"--episodes: got {self.episodes}, expected 1..10000")
        for name, least in (("episode_time_s", 0.1), ("reset_time_s", 0.0)):
            if not (least <= getattr(self, name) <= LONGEST_S and math.isfinite(getattr(self, name))):
                option = f"--{name[:-2].replace('_', '-')}"
                raise ConfigError(f"{option}: got {getattr(self, name)}, expected {least}..{LONGEST_S:.0f} s")

    def next_bag(self) -> Path:
        """Return the folder of the next episode: one number after the last that is there."""
        numbers = [path.name.removeprefix("episode_") for path in self.folder.glob("episode_*")]
        last = max((int(number) for number in numbers if number.isdecimal()), default=-1)
        return self.folder / f"episode_{last + 1:06d}"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("folder", type=Path, help="where the bags go: episode_000000, ...; those there are kept")
    parser.add_argument("instruction", help='what is demonstrated, e.g. "put the red cube into the bowl"')
    parser.add_argument("--episodes", type=int, default=50, help="stop after so many that were kept")
    parser.add_argument("--episode-time", type=float, default=60.0, help="seconds of an episode, at most")
    parser.add_argument("--reset-time", type=float, default=60.0, help="seconds to put things back, at most")
    parser.add_argument("--topics", default="", help="only these, joined by commas; empty: all")
    parser.add_argument("--images", choices=CODECS, default="png", help="png loses nothing; jpeg for large pictures")
    parser.add_argument("--namespace", default="", help="namespace of the stack")
    parser.add_argument("--description", default="so101", help="robot description, which the bags name")
    parser.add_argument("--use-sim-time", action="store_true", help="stamp with the time on /clock")


def run(args: argparse.Namespace) -> int:
    """Record until there are enough episodes or a person stops. Raises DeviceError when a bag could not be written."""
    session = Session(
        folder=args.folder,
        instruction=args.instruction,
        episodes=args.episodes,
        episode_time_s=args.episode_time,
        reset_time_s=args.reset_time,
        topics=args.topics,
    )

    def spec(bag: Path) -> NodeSpec:
        options = StackOptions(
            bag=str(bag.absolute()),
            namespace=args.namespace,
            description=args.description,
            use_sim_time=args.use_sim_time,
        )
        given = {"topics": session.topics, "images": args.images, "instruction": args.instruction, "stay": False}
        return recorder(options, RECORDER, **given)

    print(keys.HELP)
    with keys.listening(), operator(args.namespace) as node:
        kept = record(session, node, spec)
    print(f"{kept} episodes in {session.folder}")
    return 0


def record(session: Session, node: Node, spec: Callable[[Path], NodeSpec]) -> int:
    """Record the session; return how many episodes were kept. spec: the recorder for a bag."""
    topic = topics.INSTRUCTION
    instructions = node.create_publisher(topic.type, topic.name, topic.qos)
    kept, said = 0, ""
    while kept < session.episodes and said != keys.STOP:
        bag = session.next_bag()
        try:
            said = _episode(session, node, instructions, spec(bag), f"episode {kept + 1} of {session.episodes}")
        except (KeyboardInterrupt, NotReadyError) as ended:
            shutil.rmtree(bag, ignore_errors=True)
            if isinstance(ended, KeyboardInterrupt):
                print(f"discarded {bag}, which was interrupted")
            raise
        if said == keys.AGAIN:
            shutil.rmtree(bag)
            print(f"discarded {bag}")
        else:
            kept += 1
            print(f"kept {bag}")
        if kept < session.episodes and said != keys.STOP and session.reset_time_s:
            print(f"put things back: {session.reset_time_s:.0f} s, or a key")
            said = keys.STOP if _wait(session.reset_time_s) == keys.STOP else ""
    return kept


def _episode(session: Session, node: Node, instructions: Publisher, spec: NodeSpec, what: str) -> str:
    """Record one bag; return the key that ended it, or ""."""
    with Stack([spec], _complaint, restart=False) as nodes:
        _wait_for_recorder(node, topics_named(node, session.topics), nodes)
        instructions.publish(String(data=session.instruction))
        print(f"{what}: {session.instruction!r}, {session.episode_time_s:.0f} s, or a key")
        said = _wait(session.episode_time_s, nodes)
    codes = nodes.exit_codes[spec.name]
    if nodes.failure or codes != [0]:
        raise DeviceError(f"{what}: {nodes.failure or f'the recorder ended with {codes}'}, expected a bag")
    return said


def _complaint(name: str, line: str) -> None:
    if any(level in line for level in ("[WARN]", "[ERROR]", "[FATAL]")):
        print(f"{name} | {line}")


def _wait_for_recorder(node: Node, wanted: Collection[str], nodes: Stack) -> None:
    """Return once the recorder hears the joints, and whatever else is said by now. Raises NotReadyError."""
    until = time.monotonic() + READY_S
    while unheard := _unheard(node, wanted):
        if not nodes.poll() or time.monotonic() > until:
            why = nodes.failure or f"{', '.join(unheard)} not heard after {READY_S:.0f} s; is the stack running?"
            raise NotReadyError(f"recorder: {why}")
        time.sleep(POLL_S)


def _unheard(node: Node, wanted: Collection[str]) -> list[str]:
    """Return the topics that the recorder is to hear and does not: those that somebody speaks on, and the joints'."""
    known = {topic for topic, kind in worth_hearing(node, wanted) if message_class(kind)}
    spoken = {topic for topic in known if node.count_publishers(topic)}
    joints = node.resolve_topic_name(topics.JOINT_STATES.name)
    needed = spoken | ({joints} if not wanted or joints in wanted else set())
    heard = {topic: node.get_subscriptions_info_by_topic(topic) for topic in needed}
    return sorted(t for t in needed if t not in spoken or RECORDER not in {end.node_name for end in heard[t]})


def _wait(seconds: float, nodes: Stack | None = None) -> str:
    """Return the key that is pressed within `seconds`, or ""; or at once when a node has failed."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and (nodes is None or nodes.poll()):
        said = keys.pressed(POLL_S)
        if said:
            return said
    return ""
