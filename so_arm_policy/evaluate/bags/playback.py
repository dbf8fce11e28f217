"""A bag as a sequence of messages with the times at which each is due again. No clock, no ROS."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.timegrid import NS
from so_arm_policy.evaluate.bags.images import COMPRESSED, IMAGE, SUFFIX, decompressed, doubled
from so_arm_policy.evaluate.bags.reader import Bag, Record
from so_arm_policy.evaluate.bags.types import decoded, encoded, is_known

JOINT_STATE = "sensor_msgs/msg/JointState"
BACK_NS = NS // 10  # messages of one moment lie in a bag in any order; further back the clock was set
COMMANDS = ("joint_command", "commands", "joint_trajectory")  # last parts of topics that move a robot


@dataclass(frozen=True, kw_only=True)
class PlaybackOptions:
    """What is played, and how.

    rate: times as fast as it was; start_s: into the bag, from which on; loop: begin again at the end. topics: only
    these (empty: all but those that move a robot). topic_names: what topics of the bag are called now; joint_names:
    likewise, in joint states. unpack: compressed pictures are played raw. longest_gap_s: longer silences are cut to it.
    """

    rate: float = 1.0
    start_s: float = 0.0
    loop: bool = False
    topics: tuple[str, ...] = ()
    topic_names: Mapping[str, str] = field(default_factory=dict)
    joint_names: Mapping[str, str] = field(default_factory=dict)
    unpack: bool = True
    longest_gap_s: float = 10.0

    def __post_init__(self) -> None:
        """Refuse rates and times that are none. Raises ConfigError."""
        for name, low in (("rate", 1e-3), ("longest_gap_s", 1e-3), ("start_s", 0.0)):
            if not low <= getattr(self, name) <= 1e6:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected {low:g}..1000000")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One message to play. due_ns: after the beginning, at the rate asked for; time_ns: when it was recorded."""

    due_ns: int
    time_ns: int
    topic: str
    kind: str
    data: bytes


class Playback:
    """Plays one bag. skipped: messages not played, by reason; notes: what was odd about the times."""

    def __init__(self, bag: Bag, options: PlaybackOptions) -> None:
        """Play nothing yet."""
        self.bag, self.options = bag, options
        self._doubled = doubled(bag.kinds)
        self.skipped: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()

    def items(self) -> Iterator[Item]:
        """Yield what is to be played, in order of due times; without end when looped. Raises InputError for nothing."""
        begin_ns = 0
        while True:
            end_ns = None
            for item in self._once():
                end_ns = begin_ns + item.due_ns
                yield replace(item, due_ns=end_ns)
            if end_ns is None:
                raise InputError(f"bag {self.bag.path}: got nothing to play, expected messages: {dict(self.skipped)}")
            if not self.options.loop:
                return
            begin_ns = end_ns

    def is_played(self, topic: str) -> bool:
        """Whether `topic` of the bag is played; compressed pictures are not, beside the same ones raw."""
        if self.options.unpack and topic in self._doubled and topic not in self.options.topic_names:
            return self._is_wanted(topic) and not self._is_wanted(topic.removesuffix(SUFFIX))
        return self._is_wanted(topic)

    def _is_wanted(self, topic: str) -> bool:
        if self.options.topics:
            return topic in self.options.topics or topic.removesuffix(SUFFIX) in self.options.topics
        return topic.rpartition("/")[2] not in COMMANDS

    def is_unpacked(self, kind: str) -> bool:
        """Whether messages of type `kind` are played as another type."""
        return kind == COMPRESSED and self.options.unpack

    def _once(self) -> Iterator[Item]:
        start_ns, longest_ns = round(self.options.start_s * NS), round(self.options.longest_gap_s * NS)
        at_ns, before_ns = 0, None
        for record in self.bag.records(self.is_played):
            passed_ns = record.time_ns - before_ns if before_ns is not None else 0
            if passed_ns < -BACK_NS:
                self.notes["the clock went back"] += 1
            elif passed_ns > longest_ns:
                self.notes["silences cut short"] += 1
            if not -BACK_NS <= passed_ns < 0:
                before_ns = record.time_ns
            at_ns += min(max(passed_ns, 0), longest_ns)
            if at_ns < start_ns:
                continue
            made = self._made(record)
            if made is not None:
                yield Item(
                    due_ns=round((at_ns - start_ns) / self.options.rate),
                    time_ns=record.time_ns,
                    topic=made.topic,
                    kind=made.kind,
                    data=made.data,
                )

    def _made(self, record: Record) -> Record | None:
        """Return what is to be played for `record`: checked, so that no listener meets a message that is none."""
        if not is_known(record.kind):
            self.skipped[f"unknown type {record.kind}"] += 1
            return None
        try:
            return self._changed(record)
        except InputError:
            self.skipped[f"{record.topic}: no whole {record.kind}"] += 1
            return None

    def _changed(self, record: Record) -> Record:
        names = self.options.topic_names
        if self.is_unpacked(record.kind):
            raw = record.topic.removesuffix(SUFFIX)
            name = names.get(record.topic, names.get(raw, raw))
            return replace(record, topic=name, kind=IMAGE, data=decompressed(record.data))
        message = decoded(record.data, record.kind)
        record = replace(record, topic=names.get(record.topic, record.topic))
        if record.kind != JOINT_STATE or not self.options.joint_names:
            return record
        message.name = [self.options.joint_names.get(name, name) for name in message.name]
        return replace(record, data=encoded(message, JOINT_STATE))


def read_names(text: str, what: str) -> dict[str, str]:
    """Return the pairs in "old=new, old=new". Raises ConfigError."""
    names: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        old, mark, new = (p.strip() for p in part.partition("="))
        if not (old and mark and new) or old in names:
            raise ConfigError(f"{what}: got {part!r}, expected OLD=NEW, each OLD once")
        names[old] = new
    return names
