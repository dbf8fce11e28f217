"""The messages of a bag that a mapping names, as values: joints, pictures, sentences, marks."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.robot import CameraConfig, RobotConfig
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import Image
from so_arm_policy.evaluate.bags import images, messages
from so_arm_policy.evaluate.bags.reader import Bag, Decoder, Record
from so_arm_policy.learn.conversion.mapping import STAMPED, JointTopic, Mapping, absolute
from so_arm_policy.policy.preprocess import resize

STRING = "std_msgs/msg/String"
STATE, ACTION, WORDS, MARK, CAMERA = "state", "action", "instruction", "marker", "camera "
FARTHEST_NS = NS  # a stamp further than this from the time of arrival is of another clock
ANY_SIZE = CameraConfig(name="any", width=1, height=1, fps=30.0, fovy_deg=60.0, frame_id="any")


@dataclass(frozen=True, kw_only=True, eq=False)
class Heard:
    """One message of use. time_ns: by the mapping's clock; received_ns: of arrival.

    role: STATE, ACTION, WORDS, MARK, or CAMERA and a name. value: (n,) in the bag's units and the robot's order, NaN
    without torque; a picture (height, width, 3) uint8; the sentence; nothing for a mark.
    """

    role: str
    time_ns: int
    received_ns: int
    value: FloatArray | Image | str | None


class Listener:
    """Hears one bag. skipped: messages passed over, by reason."""

    def __init__(self, bag: Bag, mapping: Mapping, robot: RobotConfig) -> None:
        """robot: `mapping.described()`. Raises InputError when a topic lacks: which, and which there are."""
        self._bag, self._mapping, self._robot = bag, mapping, robot
        self._decoder = Decoder()
        self.skipped: Counter[str] = self._decoder.skipped
        state, action = (absolute(source.topic, bag) for source in (mapping.state, mapping.action))
        wanted = {STATE: [state], ACTION: [action]}
        for camera, source in mapping.cameras.items():
            raw = absolute(source.raw, bag)
            wanted[CAMERA + camera] = [raw, raw + images.SUFFIX]
        missing = [f"{role} ({' or '.join(names)})" for role, names in wanted.items() if not self._there(names)]
        if missing:
            got = sorted(bag.kinds) or "no topics"
            raise InputError(f"bag {bag.path}: got {got}, expected {', '.join(missing)} too")
        self._roles = {self._there(names)[0]: role for role, names in wanted.items()}
        if mapping.instruction.topic:
            self._roles[absolute(mapping.instruction.topic, bag)] = WORDS
        self._marker = absolute(mapping.marker, bag) if mapping.marker else ""

    @property
    def roles(self) -> list[str]:
        """State, action and cameras: what every frame needs."""
        return [role for role in self._roles.values() if role != WORDS]

    def hear(self, pictures_only: bool = False) -> Iterator[Heard]:
        """Yield what can be used, in the bag's order; the same each time."""

        def wanted(topic: str) -> bool:
            if pictures_only:
                return self._roles.get(topic, "").startswith(CAMERA)
            return topic in self._roles or topic == self._marker

        for record in self._bag.records(wanted):
            if record.topic == self._marker:
                yield Heard(role=MARK, time_ns=record.time_ns, received_ns=record.time_ns, value=None)
            role = self._roles.get(record.topic)
            heard = self._heard(record, role) if role else None
            if heard is not None:
                yield heard

    def _heard(self, record: Record, role: str) -> Heard | None:
        message = self._decoder.message(record, *self._kinds(role))
        if message is None:
            return None
        try:
            value = self._value(role, record, message)
            time_ns = self._time_ns(record, message)
        except (InputError, ConfigError) as error:
            self.skipped[f"{role}: {error}"] += 1
            return None
        return Heard(role=role, time_ns=time_ns, received_ns=record.time_ns, value=value)

    def _there(self, names: list[str]) -> list[str]:
        return [name for name in names if name in self._bag.kinds]

    def _kinds(self, role: str) -> tuple[str, ...]:
        joints = {STATE: self._mapping.state, ACTION: self._mapping.action}
        if role in joints:
            return (joints[role].kind,)
        return (STRING,) if role == WORDS else (images.IMAGE, images.COMPRESSED)

    def _value(self, role: str, record: Record, message: Any) -> FloatArray | Image | str:
        if role == WORDS:
            return str(message.data)
        if role in (STATE, ACTION):
            return self._joints(self._mapping.state if role == STATE else self._mapping.action, message)
        camera = role.removeprefix(CAMERA)
        rgb = picture(record.kind, message)
        size = self._mapping.cameras[camera].size
        return resize(rgb, *size) if size else rgb

    def _joints(self, source: JointTopic, message: Any) -> FloatArray:
        if source.order:
            return self._robot.order(source.order, message.data, source.topic)
        q = self._robot.order(message.name, message.position, source.topic)
        limp = source.zero_effort_is_limp and len(message.effort) > 0 and not np.any(message.effort)
        return np.full_like(q, np.nan) if limp else q

    def _time_ns(self, record: Record, message: Any) -> int:
        if self._mapping.clock != STAMPED or not hasattr(message, "header"):
            return record.time_ns
        stamp_ns = messages.stamp_ns(message.header.stamp)
        if abs(stamp_ns - record.time_ns) > FARTHEST_NS:
            raise InputError(f"got a stamp more than {FARTHEST_NS / NS:g} s from its arrival, expected the same clock")
        return stamp_ns


def picture(kind: str, message: Any) -> Image:
    """Return the picture (height, width, 3) uint8 in a message of type `kind`. Raises InputError or ConfigError."""
    if kind == images.COMPRESSED:
        return images.picture(message.data, message.format)
    size = replace(ANY_SIZE, width=int(message.width), height=int(message.height))
    return messages.camera_image(message, size).rgb
