"""The recorder: every topic of the graph into a bag, as it comes, in a process of its own."""

import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.clock import Clock, ClockType

from so_arm_policy.core.errors import DeviceError
from so_arm_policy.evaluate.bags.images import CODECS
from so_arm_policy.evaluate.bags.metadata import Quality
from so_arm_policy.evaluate.bags.sink import Sink
from so_arm_policy.evaluate.bags.writer import BagWriter
from so_arm_policy.ros.bag_folders import new_bag
from so_arm_policy.ros.node import NodeConfig, StackNode
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.realtime import stay_in_background
from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.topic_watch import TopicWatch, topics_named

LOOK_S = 0.25
MORE_S = 1.0  # for the end of the bag, where the time that all threads have was not enough


@dataclass(frozen=True, kw_only=True)
class RecorderConfig(NodeConfig):
    """Parameters of the recorder node."""

    bag: str = parameter("", "folder of the bag, new; empty: bag_DATE in so_arm_policy/bags in $ROS_HOME or ~/.ros")
    topics: str = parameter("", "only these, joined by commas; empty: all in the node's namespace")
    images: str = parameter("png", "how pictures are compressed; png loses nothing", choices=CODECS)
    queue_mib: int = parameter(64, "of messages that may wait to be written", low=1, high=4096)
    least_free_mib: int = parameter(200, "recording stops when the disk has less", low=0, high=2**20)
    instruction: str = parameter("", "what the arm is told meanwhile, for the bag's metadata")
    stay: bool = parameter(True, "stay when the disk is full and say so; otherwise end")


class RecorderNode(StackNode[RecorderConfig]):
    """Messages stay serialised and are stamped as they arrive; another thread writes them."""

    def __init__(self) -> None:
        """Raises ConfigError, and InputError for a folder that cannot be made."""
        super().__init__("recorder", RecorderConfig)
        config = self.config
        self._writer = BagWriter(new_bag(config.bag))
        self._writer.custom.update(robot=self.robot.name, namespace=self.get_namespace())
        if config.instruction:
            self._writer.custom["instruction"] = config.instruction
        self._sink = Sink(self._writer, config.queue_mib << 20, config.images)
        self._watch = TopicWatch(self, topics_named(self, config.topics), self._begin)
        self._dropped = 0
        self._written = threading.Event()
        self._steady_looks = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(LOOK_S, self._look, clock=self._steady_looks)

    def start(self) -> None:
        """Begin to write."""
        self.get_logger().info(f"recording to {self._writer.folder}")
        self.spawn("bag", self._write)

    def stop(self) -> None:
        """Write what waits and close the bag."""
        self._sink.close()
        super().stop()
        self._written.wait(MORE_S)
        count, dropped = self._writer.count - self._writer.lost, sum(self._sink.dropped.values())
        self.get_logger().info(f"{count} messages in {self._writer.folder}, {dropped} dropped")

    def facts(self) -> dict[str, object]:
        """Return where the bag is, how large, and what is not in it."""
        return {
            "bag": self._writer.folder,
            "messages": self._writer.count,
            "mib": self._writer.size / 2**20,
            "topics": len(self._watch.heard),
            "dropped": sum(self._sink.dropped.values()),
            "spoilt": sum(self._sink.spoilt.values()),
            "lost_on_disk": self._writer.lost,
            "queue_most_mib": self._sink.most_waiting / 2**20,
            "unknown_types": ", ".join(sorted(self._watch.unknown)),
        }

    def _begin(self, topic: str, kind: str, qualities: list[Quality]) -> Callable[[bytes], object]:
        stream = self._sink.stream(topic, kind, qualities)
        return lambda data: self._sink.put(stream, self.now_ns(), data)

    def _write(self) -> None:
        stay_in_background()
        self._sink.run()
        self._written.set()
        if self._writer.failure and not self.config.stay and not self.stopping.is_set():
            raise DeviceError(self._writer.failure)

    def _look(self) -> None:
        self._watch.look()
        dropped, before = sum(self._sink.dropped.values()), self._dropped
        self._dropped = dropped
        if self._writer.failure:
            self.report("bag", f"{self._writer.failure}: {self._writer.lost} messages lost, {dropped} not taken")
        elif dropped > before:
            self.report("queue", f"got messages faster than they can be written: {dropped} dropped so far", warn=True)
        elif shutil.disk_usage(self._writer.folder).free < self.config.least_free_mib << 20:
            self._sink.give_up(f"got less than {self.config.least_free_mib} MiB free")


def main() -> int:
    """Run the node."""
    return run_node(RecorderNode)


if __name__ == "__main__":
    sys.exit(main())
