"""Bags whose every value tells when it was said: joints move at a known speed, pictures get brighter."""

import numpy as np

from so_arm_policy.evaluate.bags.images import COMPRESSED, IMAGE, compressed
from so_arm_policy.evaluate.bags.types import encoded, message
from so_arm_policy.evaluate.bags.writer import BagWriter
from so_arm_policy.learn.conversion.listening import STRING
from so_arm_policy.learn.conversion.mapping import FLOATS, JOINT_STATE, load_mapping

S = 10**9
START = 1_700_000_000 * S
MAPPING = load_mapping("so_arm")
ROBOT = MAPPING.described()
N = len(ROBOT.joints)
ASK = "touch the red cube"
SPEED, AHEAD = 0.05, 0.02  # rad/s of every joint; how far commands are ahead, rad


def header(at_ns):
    stamp = message("builtin_interfaces/msg/Time", sec=at_ns // S, nanosec=at_ns % S)
    return message("std_msgs/msg/Header", stamp=stamp, frame_id="")


def pose(at_ns, begin_ns=START):
    """What the joints are at a time, (n,) rad."""
    return ROBOT.home + SPEED * (at_ns - begin_ns) / S


def joints(at_ns, q, names=ROBOT.joint_names, effort=(), stamp_ns=None):
    parts = {"position": q, "velocity": (), "effort": effort}
    arrays = {key: np.array(value, dtype=np.float64) for key, value in parts.items()}
    return encoded(message(JOINT_STATE, header=header(stamp_ns or at_ns), name=list(names), **arrays), JOINT_STATE)


def floats(values):
    layout = message("std_msgs/msg/MultiArrayLayout", dim=[], data_offset=0)
    return encoded(message(FLOATS, layout=layout, data=np.array(values, dtype=np.float64)), FLOATS)


def image(at_ns, level, size=(24, 32), stamp_ns=None):
    rgb = np.full((*size, 3), level, dtype=np.uint8).reshape(-1)
    shape = {"height": size[0], "width": size[1], "step": 3 * size[1], "is_bigendian": 0}
    return encoded(message(IMAGE, header=header(stamp_ns or at_ns), encoding="rgb8", data=rgb, **shape), IMAGE)


def level(number):
    """How bright picture `number` is; a step is more than what the video loses."""
    return 10 + 8 * (number % 30)


def text(words):
    return encoded(message(STRING, data=words), STRING)


class World:
    """A bag of this stack while it is made; `say` and the lists are what tests change before `write`."""

    def __init__(self, seconds=4.0, sizes=((24, 32), (24, 32)), start_ns=START, packed=False, names=ROBOT.joint_names):
        self.start_ns, self.said = start_ns, []
        self.kinds = {"/joint_states": JOINT_STATE, "/joint_command": JOINT_STATE, "/instruction": STRING}
        suffix, kind = ("/compressed", COMPRESSED) if packed else ("", IMAGE)
        self.kinds |= {f"/{camera}/image_raw{suffix}": kind for camera in ROBOT.camera_names}
        self.custom = {"robot": "so101", "namespace": "/"}
        self.say(0.0, "/instruction", text(ASK))
        for i in range(round(seconds * 100)):
            at_ns = self.at(i / 100)
            q = pose(at_ns, start_ns)
            self.say(i / 100, "/joint_states", joints(at_ns, q, names))
            self.say(i / 100, "/joint_command", joints(at_ns, q + AHEAD, names))
        for i in range(round(seconds * 30)):
            for camera, size in zip(ROBOT.camera_names, sizes, strict=True):
                raw = image(self.at(i / 30), level(i), size)
                self.say(i / 30, f"/{camera}/image_raw{suffix}", compressed(raw, "png") if packed else raw)

    def at(self, second):
        return self.start_ns + int(second * S + 1e-3)  # as the grid, rounded down

    def say(self, second, topic, data, kind=None):
        self.said.append((self.at(second), topic, data))
        if kind is not None:
            self.kinds[topic] = kind

    def drop(self, topic, begin=0.0, end=1e6):
        """Leave a topic silent for a while."""
        self.said = [
            each for each in self.said if each[1] != topic or not self.at(begin) <= each[0] < self.start_ns + end * S
        ]

    def write(self, folder, ordered=True):
        writer = BagWriter(folder)
        writer.custom = self.custom
        numbers = {topic: writer.add_topic(topic, kind) for topic, kind in self.kinds.items()}
        for at_ns, topic, data in sorted(self.said, key=lambda each: each[0]) if ordered else self.said:
            assert writer.write(numbers[topic], at_ns, data)
        writer.close()
        return folder
