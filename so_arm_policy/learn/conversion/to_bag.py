"""A LeRobot dataset to bags, one for each episode."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import Image
from so_arm_policy.evaluate.bags.images import COMPRESSED, PNG, SUFFIX
from so_arm_policy.evaluate.bags.metadata import Quality
from so_arm_policy.evaluate.bags.types import encoded, message
from so_arm_policy.evaluate.bags.writer import BagWriter
from so_arm_policy.learn.conversion.listening import STRING
from so_arm_policy.learn.conversion.mapping import FLOATS, JOINT_STATE, JointTopic, Mapping
from so_arm_policy.learn.conversion.whole_folder import whole_folder
from so_arm_policy.learn.datasets import lerobot_format as lf
from so_arm_policy.learn.datasets.arrow_files import WriteError
from so_arm_policy.learn.datasets.reader import Dataset, Episode, read_dataset
from so_arm_policy.learn.datasets.units import Units, from_radians

EPOCH_NS = 10**9 * NS  # the first episode begins in September 2001: no dataset says when it was recorded
BETWEEN_NS = 10 * NS  # from the end of an episode to the next
DECODED = 64  # pictures at a time
LATCHED = Quality(durability="TRANSIENT_LOCAL", depth=1)
SENSOR = Quality(reliability="BEST_EFFORT", depth=5)


@dataclass(frozen=True, kw_only=True)
class EpisodeBag:
    """One bag written. name: of its folder."""

    name: str
    task: str
    frames: int


def convert_dataset(source: Path, mapping: Mapping, out: Path) -> tuple[list[EpisodeBag], list[str]]:
    """Write each episode of the dataset `source` as the bag `out`/episode_NNNNNN; also return the cameras left out.

    Every frame is at its time to the nanosecond, state, action and pictures at the same one; pictures as PNG. Raises
    InputError for a dataset that cannot be read or lacks a camera of the mapping, ConfigError, WriteError. Then nothing
    is left of it.
    """
    robot = mapping.described()
    # What a dataset says of itself counts; others' say nothing.
    dataset = read_dataset(source, robot, None if (source / lf.UNITS).exists() else Units(mapping.units))
    missing = [camera for camera in mapping.cameras if camera not in dataset.cameras]
    if missing:
        raise InputError(f"{source}: got cameras {list(dataset.cameras)}, expected {missing} too, as the mapping says")
    if dataset.info.fps != round(dataset.info.fps):
        raise InputError(f"{source}: got {dataset.info.fps} rows a second, expected a whole number")
    if not (mapping.instruction.topic or mapping.instruction.keys):
        raise ConfigError("instruction: got neither topic nor keys, expected one of them to keep the tasks")
    done, begin_ns = [], EPOCH_NS
    with whole_folder(out) as folder:
        for episode in dataset:
            name = f"episode_{episode.index:06d}"
            times_ns = _times_ns(begin_ns, episode, dataset)
            _write(folder / name, dataset, episode, times_ns, mapping, robot)
            done.append(EpisodeBag(name=name, task=episode.task, frames=len(times_ns)))
            begin_ns = (times_ns[-1] + BETWEEN_NS) // NS * NS
    return done, [camera for camera in dataset.cameras if camera not in mapping.cameras]


def _times_ns(begin_ns: int, episode: Episode, dataset: Dataset) -> list[int]:
    """Return the times of the rows on the grid on which `frame_times` finds them again."""
    rows = np.round(episode.timestamps * dataset.info.fps).astype(np.int64)
    return [begin_ns + int(row) * NS // round(dataset.info.fps) for row in rows]


def _write(
    folder: Path, dataset: Dataset, episode: Episode, times_ns: list[int], mapping: Mapping, robot: RobotConfig
) -> None:
    writer = BagWriter(folder)
    try:
        writer.custom = {"robot": robot.name, "namespace": "/"}
        writer.custom |= dict.fromkeys(mapping.instruction.keys, episode.task)
        if mapping.instruction.topic:
            words = writer.add_topic(_whole(mapping.instruction.topic), STRING, [LATCHED])
            writer.write(words, times_ns[0], encoded(message(STRING, data=episode.task), STRING))
        joints = [(mapping.state, episode.q, [SENSOR]), (mapping.action, episode.action, [Quality(depth=1)])]
        numbers = [writer.add_topic(_whole(source.topic), source.kind, offered) for source, _, offered in joints]
        cameras = {
            camera: writer.add_topic(_whole(source.raw) + SUFFIX, COMPRESSED, [SENSOR])
            for camera, source in mapping.cameras.items()
        }
        for row, pictures in enumerate(_pictures(dataset, episode, mapping)):
            at_ns = times_ns[row]
            for number, (source, values, _) in zip(numbers, joints, strict=True):
                writer.write(number, at_ns, _joints(source, values[row], at_ns, mapping, robot))
            for camera, rgb in pictures.items():
                writer.write(cameras[camera], at_ns, _png(camera, rgb, at_ns))
            if writer.failure:
                break
    finally:
        writer.close()
    if writer.failure:
        raise WriteError(writer.failure)


def _pictures(dataset: Dataset, episode: Episode, mapping: Mapping) -> Iterator[dict[str, Image]]:
    """Yield the pictures of each row, in the size that the mapping says."""
    for begin in range(0, len(episode.q), DECODED):
        rows = range(begin, min(begin + DECODED, len(episode.q)))
        decoded = {camera: dataset.pictures(episode.index, rows, camera) for camera in mapping.cameras}
        for i in range(len(rows)):
            yield {camera: pictures[i] for camera, pictures in decoded.items()}


def _whole(topic: str) -> str:
    return topic if topic.startswith("/") else f"/{topic}"


def _header(at_ns: int, frame_id: str = "") -> object:
    stamp = message("builtin_interfaces/msg/Time", sec=at_ns // NS, nanosec=at_ns % NS)
    return message("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)


def _joints(source: JointTopic, q: FloatArray, at_ns: int, mapping: Mapping, robot: RobotConfig) -> bytes:
    values, names = from_radians(q, robot, Units(source.units)), mapping.bag_names(robot)
    if source.order:
        by_name = {robot.aliases.get(name, name): i for i, name in enumerate(source.order)}
        data = np.empty(len(values))
        data[[by_name[joint] for joint in robot.joint_names]] = values
        layout = message("std_msgs/msg/MultiArrayLayout", dim=[], data_offset=0)
        return encoded(message(FLOATS, layout=layout, data=data), FLOATS)
    none = np.zeros(0)
    state = message(JOINT_STATE, header=_header(at_ns), name=list(names), position=values, velocity=none, effort=none)
    return encoded(state, JOINT_STATE)


def _png(camera: str, rgb: Image, at_ns: int) -> bytes:
    _, packed = cv2.imencode(".png", cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2BGR), PNG)
    header = _header(at_ns, f"{camera}_optical_frame")
    text = "rgb8; png compressed bgr8"
    return encoded(message(COMPRESSED, header=header, format=text, data=packed.reshape(-1)), COMPRESSED)
