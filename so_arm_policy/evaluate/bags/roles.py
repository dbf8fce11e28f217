"""What each topic of a bag is for: this stack's names, or other people's by a map."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import CameraImage
from so_arm_policy.evaluate.bags import images, messages
from so_arm_policy.evaluate.bags.reader import Bag, Decoder

JOINT_STATE = "sensor_msgs/msg/JointState"
ROLES = {
    "joint_states": ("joint_states", JOINT_STATE),
    "action": ("joint_command", JOINT_STATE),
    "instruction": ("instruction", "std_msgs/msg/String"),
    "motor_states": ("motor_states", "so_arm_policy/msg/MotorStates"),
    "context": ("system2/context", "so_arm_policy/msg/SceneContext"),
    "chunk": ("system1/chunk", "so_arm_policy/msg/ActionChunk"),
    "system1_tick": ("system1/tick", "so_arm_policy/msg/System1Tick"),
    "supervisor_tick": ("safety/tick", "so_arm_policy/msg/SupervisorTick"),
}
PROPOSAL = "proposal"
PICTURES = (images.IMAGE, images.COMPRESSED)


@dataclass(frozen=True)
class Event:
    """One message by its role (a key of ROLES, "proposal", or "camera NAME"). time_ns: when it was received."""

    role: str
    time_ns: int
    message: Any
    kind: str


class Roles:
    """Which topic of `bag` has which role. skipped: messages that could not be used, by reason."""

    def __init__(self, bag: Bag, robot: RobotConfig, given: Mapping[str, str], namespace: str | None = None) -> None:
        """given: role (or camera) -> topic, for bags of others. Raises ConfigError for a role that there is not."""
        known = [*ROLES, *robot.camera_names]
        wrong = sorted(set(given) - set(known))
        if wrong:
            raise ConfigError(f"topics: got {wrong}, expected some of {known}")
        self._bag = bag
        self._decoder = Decoder()
        space = (bag.custom.get("namespace", "/") if namespace is None else f"/{namespace.strip('/')}").rstrip("/")
        self._proposals = f"{space}/{PROPOSAL}/"
        self._by_topic = {f"{space}/{name}": role for role, (name, _) in ROLES.items() if role not in given}
        # Raw pictures are what the policy saw; compressed beside them may have lost some of it.
        doubled = images.doubled(bag.kinds)
        for camera in robot.camera_names:
            name = given.get(camera, f"{space}/{camera}/image_raw")
            names = [name] if name + images.SUFFIX in doubled else [name, name + images.SUFFIX]
            self._by_topic.update(dict.fromkeys(names, f"camera {camera}"))
        self._by_topic.update({topic: role for role, topic in given.items() if role in ROLES})

    @property
    def skipped(self) -> Counter[str]:
        """Messages that could not be used, by reason."""
        return self._decoder.skipped

    def topic_of(self, role: str) -> list[str]:
        """Return the names that a topic of `role` may have."""
        return [topic for topic, known in self._by_topic.items() if known == role]

    def require(self, *roles: str) -> None:
        """Refuse a bag without a topic of each of `roles`. Raises InputError that says what there is."""
        there = set(self._bag.kinds)
        missing = [f"{role} ({' or '.join(names)})" for role in roles if not there & set(names := self.topic_of(role))]
        if missing and there:
            raise InputError(f"bag {self._bag.path}: got topics {sorted(there)}, expected {', '.join(missing)} too")

    def events(self) -> Iterator[Event]:
        """Yield the messages that have a role, in the bag's order."""
        for record in self._bag.records(lambda topic: topic in self._by_topic or topic.startswith(self._proposals)):
            role = self._by_topic.get(record.topic, PROPOSAL)
            expected = PICTURES if role.startswith("camera ") else ("so_arm_policy/msg/JointCommand",)
            message = self._decoder.message(record, *([ROLES[role][1]] if role in ROLES else expected))
            if message is not None:
                yield Event(role, record.time_ns, message, record.kind)

    def unusable(self, event: Event, error: Exception) -> None:
        """Count a message that could be read and not used."""
        self.skipped[f"{event.role}: {str(error).partition(':')[0]}"] += 1


def camera_picture(event: Event, robot: RobotConfig, exact: bool) -> CameraImage:
    """Return the picture of a camera's event. exact: of the camera's own size only; otherwise made so. InputError."""
    camera = robot.camera(event.role.removeprefix("camera "))
    message = event.message
    if event.kind == images.COMPRESSED:
        rgb = images.picture(message.data, message.format)
        picture = CameraImage(camera=camera.name, stamp_ns=messages.stamp_ns(message.header.stamp), rgb=rgb)
    else:
        # As large as it says; what it says is checked with it.
        size = camera if exact else replace(camera, width=int(message.width), height=int(message.height))
        picture = messages.camera_image(message, size)
    if picture.rgb.shape[:2] != (camera.height, camera.width):
        if exact:
            raise InputError(f"camera {camera.name!r}: got {picture.rgb.shape}, expected the camera's size")
        size_xy = (camera.width, camera.height)
        resized = cv2.resize(np.ascontiguousarray(picture.rgb), size_xy, interpolation=cv2.INTER_AREA)
        picture = replace(picture, rgb=np.asarray(resized, dtype=np.uint8))
    return picture
