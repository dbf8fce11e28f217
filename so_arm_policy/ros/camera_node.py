"""One camera in one process: drawn from the simulator's state, or a real one."""

import sys
import time
from dataclasses import dataclass, field

from rclpy.clock import Clock, ClockType

from so_arm_policy.core.errors import ConfigError, DeviceError, SoArmError
from so_arm_policy.core.latest import Latest
from so_arm_policy.core.ticks import Histogram
from so_arm_policy.core.timegrid import NS
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
from so_arm_policy.ros.sim_picture import SimPicture

WAIT_S = 0.2
NO_STATE_S = 1.0
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
        self._real: RealCamera | None = None
        if config.source == "sim":
            self.listen(topics.SIM_STATE, self._states.put)
            self._info = convert.camera_info_msg(self._camera)
            return
        fit = FitOptions(crop=config.crop, rectify=config.rectify)
        self._real = RealCamera(self._camera, config.device, config.calibration, config.capture, fit)
        self._info = convert.camera_info_msg(self._camera, self._real.intrinsics)
        self._steady_checks = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(CHECK_S, self._check, clock=self._steady_checks)

    def start(self) -> None:
        """Begin to take pictures."""
        self.spawn("camera", self._draw if self._real is None else self._capture)

    def stop(self) -> None:
        """End."""
        self._states.close()
        super().stop()

    def facts(self) -> dict[str, object]:
        """Return how long a picture takes, how old the last one is, and how a real camera does."""
        own = {} if self._real is None else self._real.facts()
        return {**percentiles("picture", self._taking), "image_age_ms": age_ms(self.now_ns(), self._stamp_ns), **own}

    def _check(self) -> None:
        if self._real is not None:
            self._real.check(self)

    def _draw(self) -> None:
        stay_in_background()
        picture = SimPicture(self.robot, self._camera.name)
        period_ns, silent_since = NS // round(self._camera.fps), time.monotonic()
        while not self.stopping.is_set():
            state = self._states.wait(WAIT_S)
            if state is None:
                if time.monotonic() - silent_since > NO_STATE_S and not self.stopping.is_set():
                    self.report("sim/state", "sim/state: got none, expected a simulator", warn=True)
                continue
            silent_since, began_ns = time.monotonic(), time.monotonic_ns()
            stamp_ns = convert.stamp_ns(state.header.stamp)
            # Half a period of grace: states that come as fast as the camera takes pictures are all drawn.
            if self._stamp_ns is not None and 0 <= stamp_ns - self._stamp_ns < period_ns // 2:
                continue
            try:
                self._publish(picture.draw(state), stamp_ns, began_ns)
            except DeviceError:
                raise  # no OpenGL: nothing will be drawn here
            except SoArmError as error:
                self.report("sim/state", str(error))
        picture.close()

    def _capture(self) -> None:
        stay_in_background()
        assert self._real is not None
        self._real.run(self, self._publish)

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
