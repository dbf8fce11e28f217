"""One camera in one process: drawn from the simulator's state, or a real one."""

import functools
import sys
import time
from dataclasses import dataclass, field

from rclpy.clock import Clock, ClockType

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.latest import Latest
from so_arm_policy.core.ticks import Histogram
from so_arm_policy.core.values import CameraImage, Image
from so_arm_policy.msg import SimState
from so_arm_policy.robot.camera.fit import FitOptions
from so_arm_policy.robot.camera.options import CaptureOptions
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.node import NodeConfig, StackNode, age_ms, percentiles
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.real_camera import RealCamera
from so_arm_policy.ros.realtime import stay_in_background
from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.sim_camera import SimCamera

CHECK_S = 1.0


@dataclass(frozen=True, kw_only=True)
class CameraNodeConfig(NodeConfig):
    """Parameters of the camera node."""

    camera: str = parameter("overhead", "which of the robot's cameras this is")
    source: str = parameter("sim", "where pictures come from", choices=("sim", "opencv"))
    device: str = parameter(
        "", "for opencv: a number, a device (/dev/v4l/by-id/...), a video file, a folder of images or a pipe of JPEG"
    )
    calibration: str = parameter("", "camera_info YAML of the lens (see `so-arm calibrate-camera`); empty: none")
    crop: str = parameter("", "part of the picture taken: 'centre', 'X,Y,WIDTH,HEIGHT' in pixels, empty: all of it")
    rectify: bool = parameter(False, "draw pictures as the description's pinhole takes them; needs a calibration")
    jpeg_quality: int = parameter(90, "of image_raw/compressed", low=1, high=100)
    capture: CaptureOptions = field(default_factory=CaptureOptions)

    def __post_init__(self) -> None:
        """Refuse OpenCV without a device."""
        if self.source == "opencv" and not self.device:
            raise ConfigError("parameter 'device': got '', expected a device, video file or folder for source opencv")


class CameraNode(StackNode[CameraNodeConfig]):
    """Publishes pictures with the time of their capture, and their calibration."""

    def __init__(self) -> None:
        """Raises ConfigError."""
        super().__init__("camera", CameraNodeConfig)
        config = self.config
        self._camera = self.robot.camera(config.camera)
        self._images = self.speak(topics.image(self._camera.name))
        self._compressed = self.speak(topics.compressed_image(self._camera.name))
        self._infos = self.speak(topics.camera_info(self._camera.name))
        self._states: Latest[SimState] = Latest()
        self._taking = Histogram()
        self._stamp_ns: int | None = None
        self._source: SimCamera | RealCamera = self._simulated() if config.source == "sim" else self._real()
        self._info = convert.camera_info_msg(self._camera, self._source.intrinsics)

    def start(self) -> None:
        """Begin to take pictures."""
        self.spawn("camera", self._take)

    def stop(self) -> None:
        """End."""
        self._states.close()
        super().stop()

    def facts(self) -> dict[str, object]:
        """Return how long a picture takes, how old the last one is, and how a real camera does."""
        age = age_ms(self.now_ns(), self._stamp_ns)
        return {**percentiles("picture", self._taking), "image_age_ms": age, **self._source.facts()}

    def _simulated(self) -> SimCamera:
        self.listen(topics.SIM_STATE, self._states.put)
        return SimCamera(self.robot, self._camera, self._states)

    def _real(self) -> RealCamera:
        config = self.config
        fit = FitOptions(crop=config.crop, rectify=config.rectify)
        camera = RealCamera(self._camera, config.device, config.calibration, config.capture, fit)
        self._steady_checks = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(CHECK_S, functools.partial(camera.check, self), clock=self._steady_checks)
        return camera

    def _take(self) -> None:
        stay_in_background()
        self._source.run(self, self._publish)

    def _publish(self, rgb: Image, stamp_ns: int, began_ns: int) -> None:
        image = CameraImage(camera=self._camera.name, stamp_ns=stamp_ns, rgb=rgb)
        msg = convert.image_msg(image, self._camera.frame_id)
        self._images.publish(msg)
        if self._compressed.get_subscription_count():
            jpeg = convert.compressed_image_msg(image, self._camera.frame_id, self.config.jpeg_quality)
            self._compressed.publish(jpeg)
        self._info.header.stamp = msg.header.stamp
        self._infos.publish(self._info)
        self._stamp_ns = stamp_ns
        self._taking.add(time.monotonic_ns() - began_ns)
        self.counts["images"] += 1


def main() -> int:
    """Run the node."""
    return run_node(CameraNode)


if __name__ == "__main__":
    sys.exit(main())
