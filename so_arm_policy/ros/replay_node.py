"""Replay: publishes a bag at its recorded times."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from so_arm_policy.core.timegrid import NS
from so_arm_policy.evaluate.bags.playback import Playback, PlaybackOptions, read_names
from so_arm_policy.evaluate.bags.reader import Bag
from so_arm_policy.ros import signals
from so_arm_policy.ros.node import NodeConfig, StackNode, percentiles
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.player import Player
from so_arm_policy.ros.realtime import RealtimeConfig, prepare_process, prepare_tick_thread
from so_arm_policy.ros.run import run_node


@dataclass(frozen=True, kw_only=True)
class ReplayConfig(NodeConfig):
    """Parameters of the replay node; options of `so-arm replay` and arguments of replay.launch.py."""

    bag: str = parameter("", "folder of the bag, or its .mcap or .db3 file")
    rate: float = parameter(1.0, "times as fast as it was", low=1e-3, high=1e3)
    start: float = parameter(0.0, "seconds into the bag, from which on", low=0.0, high=1e6)
    loop: bool = parameter(False, "begin again at the end")
    clock: bool = parameter(False, "publish the recorded time on /clock, for nodes with use_sim_time")
    topics: str = parameter("", "only these, joined by commas; empty: all but commands to a robot")
    remap: str = parameter("", "topics by other names: OLD=NEW, joined by commas")
    joints: str = parameter("", "joints of joint states by other names: OLD=NEW, joined by commas")
    images: str = parameter("raw", "compressed pictures are played raw, or as recorded", choices=("raw", "as_recorded"))
    longest_gap: float = parameter(10.0, "longer silences are cut to so many seconds", low=1e-3, high=1e6)
    delay: float = parameter(1.0, "seconds before the first message, for listeners to come", low=0.0, high=60.0)


class ReplayNode(StackNode[ReplayConfig]):
    """Its process ends with the bag."""

    def __init__(self) -> None:
        """Raises ConfigError, and InputError for what is no bag."""
        super().__init__("replay", ReplayConfig)
        config = self.config
        options = PlaybackOptions(
            rate=config.rate,
            start_s=config.start,
            loop=config.loop,
            topics=tuple(filter(None, (name.strip() for name in config.topics.split(",")))),
            topic_names=read_names(config.remap, "remap"),
            joint_names=read_names(config.joints, "joints"),
            unpack=config.images == "raw",
            longest_gap_s=config.longest_gap,
        )
        self._playback = Playback(Bag(Path(config.bag).expanduser()), options)
        self._player = Player(self, self._playback, config.clock)

    def start(self) -> None:
        """Begin to read and to publish."""
        self._player.prepare()
        prepare_process(RealtimeConfig(), self.get_logger().warning)
        self.spawn("read", lambda: self._player.read(self.stopping))
        self.spawn("play", self._play)

    def facts(self) -> dict[str, object]:
        """Return what was played, how punctually, and what was not."""
        lateness = percentiles("lateness", self._player.lateness)
        return {"played": self._player.played, **lateness, **{f"odd: {why}": n for why, n in self._odd().items()}}

    def _odd(self) -> dict[str, int]:
        return dict(self._playback.skipped + self._playback.notes + self._playback.bag.damage)

    def _play(self) -> None:
        prepare_tick_thread(RealtimeConfig(), self.get_logger().warning)
        self._player.play(self.stopping, time.monotonic_ns() + round(self.config.delay * NS))
        late_ms = self._player.lateness.percentile_ms(99)
        self.get_logger().info(f"played {self._player.played} messages, p99 {late_ms:.2f} ms late")
        if self._odd():
            self.get_logger().warning(f"skipped or odd: {self._odd()}")
        signals.told_to_end.set()


def main() -> int:
    """Run the node."""
    return run_node(ReplayNode)


if __name__ == "__main__":
    sys.exit(main())
