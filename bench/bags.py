"""Bags: messages a second written and replayed, memory, and how punctual a replay is. Run it on a quiet machine.

`python bench/bags.py` takes about two minutes. `--minutes 10` records three cameras and the control loop's topics for
so long at their own rates, and counts what is lost; `--speed` does so faster than they come.
"""

import argparse
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from so_arm_policy.core.process import rss_mib
from so_arm_policy.evaluate.bags.images import IMAGE
from so_arm_policy.evaluate.bags.metadata import Quality
from so_arm_policy.evaluate.bags.playback import Playback, PlaybackOptions
from so_arm_policy.evaluate.bags.reader import Bag
from so_arm_policy.evaluate.bags.sink import Sink
from so_arm_policy.evaluate.bags.types import encoded, known_types, message
from so_arm_policy.evaluate.bags.writer import BagWriter

NS = 10**9
JOINT_STATE = "sensor_msgs/msg/JointState"
STATES, CAMERAS = 4, 3  # topics at 120 Hz; cameras at 30 Hz


def header(ns: int) -> object:
    """Return a header stamped `ns`."""
    types = known_types().types
    stamp = types["builtin_interfaces/msg/Time"](sec=ns // NS, nanosec=ns % NS)
    return types["std_msgs/msg/Header"](stamp=stamp, frame_id="")


def joint_state() -> bytes:
    """Return a joint state as it is sent."""
    q = np.zeros(6)
    made = message(
        JOINT_STATE, header=header(1), name=[f"joint_{i}" for i in range(6)], position=q, velocity=q, effort=q
    )
    return encoded(made, JOINT_STATE)


def picture(width: int, height: int, seed: int) -> bytes:
    """Return a picture as it is sent: a ramp with a little noise."""
    random = np.random.default_rng(seed)
    rows = np.linspace(0, 200, height * width * 3).reshape(height, width, 3) + random.integers(0, 4, (height, width, 3))
    sizes = {"height": height, "width": width, "step": 3 * width, "is_bigendian": 0}
    return encoded(
        message(IMAGE, header=header(1), encoding="rgb8", data=rows.astype(np.uint8).reshape(-1), **sizes), IMAGE
    )


def written(folder: Path, count: int) -> None:
    """Small messages, one after another: ours against rosbags' writer."""
    data = joint_state()
    for name in ("rosbags", "ours"):
        path = folder / name
        began, cpu = time.perf_counter(), time.process_time()
        if name == "ours":
            writer = BagWriter(path)
            topic = writer.add_topic("/joint_states", JOINT_STATE, [Quality()])
            for i in range(count):
                writer.write(topic, i, data)
            writer.close()
        else:
            with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as theirs:
                connection = theirs.add_connection("/joint_states", JOINT_STATE, typestore=known_types())
                for i in range(count):
                    theirs.write(connection, i, data)
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        print(f"written by {name:8}: {count / wall:9.0f} messages/s, {cpu / count * 1e6:6.1f} us of processor each")


def replayed(folder: Path) -> None:
    """How fast a bag can be read and checked for replay."""
    began, cpu = time.perf_counter(), time.process_time()
    count = sum(1 for _ in Playback(Bag(folder / "ours"), PlaybackOptions()).items())
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(f"read and checked   : {count / wall:9.0f} messages/s, {cpu / count * 1e6:6.1f} us of processor each")


def recorded(folder: Path, minutes: float, size: tuple[int, int], speed: float) -> None:
    """Three cameras and four topics of a control loop through the queue, at `speed` times their own rates."""
    writer = BagWriter(folder / "long")
    sink = Sink(writer)
    thread = threading.Thread(target=sink.run)
    thread.start()
    pictures = [picture(*size, seed) for seed in range(8)]
    state = joint_state()
    eyes = [sink.stream(f"/camera_{i}/image_raw", IMAGE) for i in range(CAMERAS)]
    topics = [sink.stream(f"/topic_{i}", JOINT_STATE) for i in range(STATES)]
    ticks, sent, memory = round(minutes * 60 * 120), 0, []
    began, cpu = time.perf_counter(), time.process_time()
    for tick in range(ticks):
        time.sleep(max(began + tick / 120 / speed - time.perf_counter(), 0))
        now_ns = NS + tick * NS // 120
        for stream in topics:
            sink.put(stream, now_ns, state)
        if tick % 4 == 0:
            for i, stream in enumerate(eyes):
                sink.put(stream, now_ns, pictures[(tick // 4 + i) % len(pictures)])
        sent += len(topics) + (len(eyes) if tick % 4 == 0 else 0)
        if tick % max(ticks // 10, 1) == 0:
            memory.append(rss_mib())
    sink.close()
    thread.join()
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    there = sum(1 for _ in Bag(folder / "long").records())
    width, height = size
    print(f"recorded {minutes:g} min ({wall:.0f} s): {CAMERAS} cameras {width}x{height}, {STATES} topics at 120 Hz:")
    print(f"  sent {sent}, in the bag {there}, dropped {sum(sink.dropped.values())}, {writer.size / 2**20:.0f} MiB")
    print(f"  processor {cpu / wall:.0%} of one core, queue at most {sink.most_waiting / 2**20:.1f} MiB")
    print(f"  memory, MiB: {', '.join(f'{mib:.0f}' for mib in memory)}")


def punctual(folder: Path, seconds: float) -> None:
    """A replay at 1x to a real graph: how late each message is published."""
    import rclpy
    from rclpy.node import Node

    from so_arm_policy.ros.domain import own_domain
    from so_arm_policy.ros.player import Player
    from so_arm_policy.ros.realtime import RealtimeConfig, prepare_process, prepare_tick_thread

    writer = BagWriter(folder / "timed")
    state = joint_state()
    topics = [writer.add_topic(f"/topic_{i}", JOINT_STATE, [Quality()]) for i in range(STATES)]
    for tick in range(round(seconds * 120)):
        for topic in topics:
            writer.write(topic, NS + tick * NS // 120, state)
    writer.close()
    with own_domain():
        rclpy.init(args=[])
        node = Node("bench")
        player = Player(node, Playback(Bag(folder / "timed"), PlaybackOptions()), clock=False)
        player.prepare()
        prepare_process(RealtimeConfig(), print)
        stopping = threading.Event()
        reader = threading.Thread(target=player.read, args=(stopping,))
        reader.start()
        prepare_tick_thread(RealtimeConfig(), print)
        cpu = time.process_time()
        player.play(stopping, time.monotonic_ns() + NS)
        cpu = time.process_time() - cpu
        reader.join()
        node.destroy_node()
        rclpy.try_shutdown()
    late = player.lateness
    p50, p99 = late.percentile_ms(50), late.percentile_ms(99)
    print(
        f"replayed at 1x: {player.played} messages, late p50 {p50:.2f}, p99 {p99:.2f}, most {late.max_ns / 1e6:.2f} ms"
    )
    print(f"  processor {cpu / seconds:.0%} of one core")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="write,record,replay", help="what to measure, joined by commas")
    parser.add_argument("--count", type=int, default=100_000, help="small messages to write")
    parser.add_argument("--minutes", type=float, default=0.5, help="of recording with cameras")
    parser.add_argument("--size", default="160x120", help="of the pictures")
    parser.add_argument("--speed", type=float, default=1.0, help="times the messages' own rates")
    parser.add_argument("--seconds", type=float, default=20.0, help="of replay at 1x")
    args = parser.parse_args()
    width, _, height = args.size.partition("x")
    folder = Path(tempfile.mkdtemp(prefix="bench_bags_"))
    try:
        if "write" in args.parts:
            written(folder, args.count)
            replayed(folder)
        if "record" in args.parts:
            recorded(folder, args.minutes, (int(width), int(height)), args.speed)
        if "replay" in args.parts:
            punctual(folder, args.seconds)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    from so_arm_policy.ros.environment import prepare

    prepare()
    main()
