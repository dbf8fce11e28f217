"""The shell of hand-crafted sources that see: told in words, shown what a worker makes of pictures beside the tick."""

import functools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

from so_arm_policy.control.source import FUTURE_NS, TaskSource
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.core.errors import InputError, SoArmError
from so_arm_policy.core.latest import Latest
from so_arm_policy.core.ticks import Tick
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.core.values import CameraImage, JointSample
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.inference import InferenceWorker
from so_arm_policy.ros.node import age_ms, percentiles
from so_arm_policy.ros.source_node import SourceNode
from so_arm_policy.ros.tick_node import TickNodeConfig
from so_arm_policy.sim.eyes import RobotEyes, Shot

C = TypeVar("C", bound=TickNodeConfig)
APART_NS = NS // 20  # a picture of a camera that can be done without is left out when it is so much older than others


@dataclass(frozen=True, kw_only=True)
class _Look:
    """Pictures, each with the joints at its time, the stamp of the oldest, and what is wanted of them."""

    shots: Mapping[str, Shot]
    stamp_ns: int
    wanted: frozenset[str] | None


class SeeingNode(SourceNode[C]):
    """Looks for as long as its source wants to see something. What the source does not understand changes nothing."""

    source: TaskSource

    def __init__(self, name: str, config_type: type[C]) -> None:
        """`source` must be set by the sub-class before `start`. Raises ConfigError."""
        super().__init__(name, config_type)
        self._eyes = RobotEyes(self.robot)
        self._looks: InferenceWorker[_Look, tuple[int, Tabletop]] = InferenceWorker(
            self._look, lambda _: None, functools.partial(self.report, "pictures")
        )
        self._pictures: dict[str, CameraImage] = {}
        self._samples: deque[JointSample] = deque(maxlen=CONTROL_HZ)
        self._heard: Latest[str] = Latest()
        self._instruction: str | None = None
        self._untold = False
        self._asked_ns: int | None = None
        self._seen_ns: int | None = None
        for camera in self._eyes.cameras:
            self.listen(topics.image(camera), functools.partial(self._on_image, camera))
        self.listen(topics.INSTRUCTION, self._on_instruction)

    def start(self) -> None:
        """Begin to look, and the ticks."""
        super().start()
        self.spawn("eyes", functools.partial(self._looks.run, self.stopping))

    def stop(self) -> None:
        """End both."""
        self._looks.close()
        super().stop()

    def restart(self) -> None:
        """Begin anew with the same instruction, once the source is followed."""
        super().restart()
        self._untold = self._instruction is not None

    def tick(self, tick: Tick) -> None:
        """Show the source what was seen, tell it what it was told, propose, look again."""
        seen = self._looks.take()
        if seen is not None:
            try:
                self.source.see(seen[1], seen[0])
                self._seen_ns = seen[0]
            except InputError as error:
                self.report("pictures", str(error))
        self._tell()
        super().tick(tick)
        if self.source.wanted == frozenset():
            self._seen_ns = None  # what is done next does not follow from it
        self._ask()

    def observed_ns(self, sample: JointSample) -> int:
        """Return the stamp of the oldest that a command follows from: a picture while the arm moves by pictures."""
        return min(sample.stamp_ns, self._seen_ns) if self.source.wanted and self._seen_ns else sample.stamp_ns

    def on_joint_states(self, msg: JointState) -> None:
        """Keep the last ones too: a picture is older than the newest."""
        super().on_joint_states(msg)
        assert self.sample is not None
        self._samples.append(self.sample)

    def facts(self) -> dict[str, object]:
        """Return what the source was told, what is waited for, and how long it takes to see."""
        missing = [f"{name}/image_raw" for name in self._eyes.needed if name not in self._pictures]
        missing += ["joint_states"] if self.sample is None else []
        return {
            **super().facts(),
            "instruction": self._instruction or "",
            "waiting_for": ", ".join(missing) or ("" if self._instruction is not None else "instruction"),
            "pictures": self.sight(),
            **percentiles("look", self._looks.times),
            "seen_age_ms": age_ms(self.now_ns(), self._seen_ns),
        }

    def sight(self) -> str:
        """Return how old the newest picture of each camera is that may be used."""
        now_ns, pictures = self.now_ns(), dict(self._pictures)
        ages = {name: age_ms(now_ns, p.stamp_ns) / 1e3 for name, p in pictures.items()}
        said = [f"{name} {ages[name]:.1f} s old" if name in ages else f"{name} none" for name in self._eyes.cameras]
        return ", ".join(said)

    def _tell(self) -> None:
        new = self._heard.take()
        try:
            if new is not None:
                self.source.tell(new)
                self._instruction, self._untold = new, False
        except SoArmError as error:
            self.report("instruction", f"not understood, and not done: {error}")
        if self._untold and self._followed and self._instruction is not None:
            self.source.tell(self._instruction)
            self._untold = False

    def _ask(self) -> None:
        """Have the newest pictures looked at, once every camera that sends some has a new one."""
        pictures, samples, wanted = self._together(), list(self._samples), self.source.wanted
        if not pictures or not samples or wanted == frozenset():
            return
        stamp_ns = min(picture.stamp_ns for picture in pictures.values())
        # A late picture of one camera makes the oldest older than in the look before, which no source would take; one
        # from ahead of now is of before a clock that went back.
        new = self._asked_ns is None or stamp_ns > self._asked_ns or self._asked_ns > self.now_ns()
        if new and self._looks.is_free():
            self._asked_ns = stamp_ns
            shots = {name: Shot(image=image, q=_then(samples, image.stamp_ns).q) for name, image in pictures.items()}
            self._looks.ask(_Look(shots=shots, stamp_ns=stamp_ns, wanted=wanted))

    def _together(self) -> dict[str, CameraImage]:
        """Return the newest pictures of the cameras that are needed, and of others as far as they are as new."""
        newest = dict(self._pictures)
        if not newest.keys() >= set(self._eyes.needed):
            return {}
        since_ns = min(newest[name].stamp_ns for name in self._eyes.needed) - APART_NS
        return {name: image for name, image in newest.items() if image.stamp_ns >= since_ns}

    def _look(self, asked: _Look) -> tuple[int, Tabletop]:
        self.counts["looks"] += 1
        self.counts["pictures"] += len(asked.shots)
        return asked.stamp_ns, self._eyes.look(asked.shots, asked.wanted)

    def _on_image(self, camera: str, msg: Image) -> None:
        picture = convert.camera_image(msg, self.robot.camera(camera))
        ahead_ns = picture.stamp_ns - self.now_ns()
        if ahead_ns > FUTURE_NS:
            got, expected = f"a picture stamped {ahead_ns / 1e6:.0f} ms ahead of now", f"at most {FUTURE_NS / 1e6:.0f}"
            raise InputError(f"camera {camera!r}: got {got}, expected {expected}")
        self._pictures[camera] = picture

    def _on_instruction(self, msg: String) -> None:
        self._heard.put(msg.data)
        self.get_logger().info(f"instruction: {msg.data!r}")  # not in the tick: the first line logged takes 80 ms


def _then(samples: Sequence[JointSample], stamp_ns: int) -> JointSample:
    """Return the sample that was measured nearest to a time."""
    return min(samples, key=lambda sample: abs(sample.stamp_ns - stamp_ns))
