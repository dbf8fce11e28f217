"""Small bags and messages to test with."""

import numpy as np

from so_arm_policy.evaluate.bags.metadata import Quality
from so_arm_policy.evaluate.bags.reader import Bag
from so_arm_policy.evaluate.bags.types import encoded, known_types
from so_arm_policy.evaluate.bags.writer import BagWriter

STRING = "std_msgs/msg/String"
JOINT_STATE = "sensor_msgs/msg/JointState"


def stamp(ns):
    return known_types().types["builtin_interfaces/msg/Time"](sec=ns // 10**9, nanosec=ns % 10**9)


def header(ns, frame_id=""):
    return known_types().types["std_msgs/msg/Header"](stamp=stamp(ns), frame_id=frame_id)


def text_message(text):
    return encoded(known_types().types[STRING](data=text), STRING)


def joint_state(ns, names=("a",), q=(0.0,)):
    empty = np.zeros(0)
    made = known_types().types[JOINT_STATE](
        header=header(ns), name=list(names), position=np.array(q, dtype=np.float64), velocity=empty, effort=empty
    )
    return encoded(made, JOINT_STATE)


def write_bag(folder, count):
    """Two topics of text by turns, a kilobyte each, 10 ns apart from 1000 ns on."""
    writer = BagWriter(folder)
    sensor = Quality(reliability="BEST_EFFORT", depth=5)
    topics = [writer.add_topic(name, STRING, [sensor]) for name in ("/a", "/b")]
    for i in range(count):
        assert writer.write(topics[i % 2], 1000 + 10 * i, text_message(f"message {i:1000}"))
    writer.close()
    return folder


def records_of(path):
    return list(Bag(path).records())
