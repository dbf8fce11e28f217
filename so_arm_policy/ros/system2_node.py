"""System 2 as a node: pictures and an instruction become a context, at its own pace."""

import functools
import sys
from dataclasses import dataclass

from sensor_msgs.msg import Image
from std_msgs.msg import String

from so_arm_policy.core.errors import SoArmError
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.ticks import Histogram, Tick
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import CameraImage
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.policy.system2 import System2
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.inference_config import InferenceConfig
from so_arm_policy.ros.node import age_ms, percentiles
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.tick_node import TickNode


@dataclass(frozen=True, kw_only=True)
class System2Config(InferenceConfig):
    """Parameters of the system2 node."""

    rate_hz: int = parameter(10, "most contexts a second", low=1, high=60)
    max_image_age_s: float = parameter(0.5, "oldest picture that is used", low=0.01, high=10.0)


class System2Node(TickNode[System2Config]):
    """Encodes the newest pictures; without all of them, or an instruction it can read, it says why and is silent."""

    in_background = True

    def __init__(self) -> None:
        """Raises ConfigError or BundleError."""
        super().__init__("system2", System2Config)
        bundle = load_bundle(find_shipped("bundles", self.config.bundle), self.robot)
        self._system2 = System2(bundle, self.robot, self.config.threads, self.config.where())
        self._cameras = bundle.manifest.cameras
        self._pictures: dict[str, CameraImage] = {}
        self._instruction: str | None = None
        self._encoded: tuple[object, ...] = ()
        self._inference = Histogram()
        self._context_ns: int | None = None
        self._novelty = 0.0
        self._waiting = ""
        self._contexts = self.speak(topics.CONTEXT)
        for camera in self._cameras:
            self.listen(topics.image(camera), functools.partial(self._on_image, camera))
        self.listen(topics.INSTRUCTION, self._on_instruction)
        self.listen(topics.JOINT_STATES, self.on_joint_states)

    def tick_rate_hz(self) -> int:
        """Contexts a second at most."""
        return self.config.rate_hz

    def tick(self, tick: Tick) -> None:
        """Encode what is new."""
        sample, instruction, pictures = self.sample, self._instruction, dict(self._pictures)
        self._waiting = self._missing(pictures)
        if self._waiting or sample is None or instruction is None:
            return
        asked = (instruction, *(pictures[c].stamp_ns for c in self._cameras))
        if asked == self._encoded:
            return
        self._encoded = asked
        try:
            context = self._system2.encode(pictures, instruction, sample)
        except SoArmError as error:
            self.report("encode", str(error))
            return
        self._contexts.publish(convert.context_msg(context))
        self._inference.add(round(context.inference_ms * 1e6))
        self._context_ns, self._novelty = context.stamp_ns, context.novelty
        self.counts["contexts"] += 1

    def facts(self) -> dict[str, object]:
        """Return how long inferences take, how old and how strange the last pictures are, and what is waited for."""
        return {
            **super().facts(),
            **percentiles("inference", self._inference),
            "context_age_ms": age_ms(self.now_ns(), self._context_ns),
            "novelty of pictures": self._novelty,
            "instruction": self._instruction or "",
            "waiting_for": self._waiting,
        }

    def _missing(self, pictures: dict[str, CameraImage]) -> str:
        """Return what has not come yet; reports what came and stopped."""
        wanted = [f"{camera}/image_raw" for camera in self._cameras if camera not in pictures]
        wanted += ["joint_states"] if self.sample is None else []
        wanted += ["instruction"] if self._instruction is None else []
        if wanted:
            return ", ".join(wanted)
        now_ns = self.now_ns()
        old = [c for c in self._cameras if now_ns - pictures[c].stamp_ns > self.config.max_image_age_s * NS]
        for camera in old:
            age = age_ms(now_ns, pictures[camera].stamp_ns)
            limit = self.config.max_image_age_s * 1000
            self.report(
                f"{camera} age", f"camera {camera!r}: got a picture {age:.0f} ms old, expected at most {limit:.0f}"
            )
        return ", ".join(f"a newer {camera}/image_raw" for camera in old)

    def _on_image(self, camera: str, msg: Image) -> None:
        self._pictures[camera] = convert.camera_image(msg, self.robot.camera(camera))

    def _on_instruction(self, msg: String) -> None:
        self._instruction = msg.data
        self._encoded = ()
        self.get_logger().info(f"instruction: {msg.data!r}")


def main() -> int:
    """Run the node."""
    return run_node(System2Node)


if __name__ == "__main__":
    sys.exit(main())
