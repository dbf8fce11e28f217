"""One camera in one process: drawn from the simulator's state, or taken with OpenCV."""

import sys
import time
from dataclasses import dataclass

from so_arm_policy.core.errors import ConfigError, DeviceError, SoArmError
from so_arm_policy.core.latest import Latest
from so_arm_policy.core.ticks import Histogram
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import CameraImage, Image
from so_arm_policy.msg import SimState
from so_arm_policy.robot.cameras import Camera
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.node import NodeConfig, StackNode, age_ms, percentiles
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.realtime import stay_in_background
from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.sim_picture import SimPicture

WAIT_S = 0.2
NO_STATE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class CameraNodeConfig(NodeConfig):
    """Parameters of the camera node."""

    camera: str = parameter("overhead", "which of the robot's cameras this is")
    source: str = parameter("sim", "where pictures come from", choices=("sim", "opencv"))
    device: str = parameter("", "for opencv: a device (/dev/video0), a video file or a folder of images")

    def __post_init__(self) -> None:
        """Refuse OpenCV without a device."""
        if self.source == "opencv" and not self.device:
            raise ConfigError("parameter 'device': got '', expected a device, video file or folder for source opencv")


class CameraNode(StackNode[CameraNodeConfig]):
    """Publishes pictures with the time of their capture, and their calibration."""

    def __init__(self) -> None:
        """Raises ConfigError."""
        super().__init__("camera", CameraNodeConfig)
        self._camera = self.robot.camera(self.config.camera)
        self._images = self.speak(topics.image(self._camera.name))
        self._infos = self.speak(topics.camera_info(self._camera.name))
        self._info = convert.camera_info_msg(self._camera)
        self._states: Latest[SimState] = Latest()
        self._taking = Histogram()
        self._stamp_ns: int | None = None
        if self.config.source == "sim":
            self.listen(topics.SIM_STATE, self._states.put)

    def start(self) -> None:
        """Begin to take pictures."""
        self.spawn("camera", self._draw if self.config.source == "sim" else self._capture)

    def stop(self) -> None:
        """End."""
        self._states.close()
        super().stop()

    def facts(self) -> dict[str, object]:
        """Return how long a picture takes and how old the last one is."""
        return {**percentiles("picture", self._taking), "image_age_ms": age_ms(self.now_ns(), self._stamp_ns)}

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
        camera, period_ns = Camera(self.config.device, self._camera), NS // round(self._camera.fps)
        due_ns = time.monotonic_ns()
        while not self.stopping.wait(max(due_ns - time.monotonic_ns(), 0) / NS):
            began_ns = time.monotonic_ns()
            due_ns = max(due_ns + period_ns, began_ns)
            try:
                rgb = camera.read()
            except DeviceError as error:
                self.report("device", str(error))
                continue
            if rgb is not None:
                self._publish(rgb, self.now_ns(), began_ns)
        camera.close()

    def _publish(self, rgb: Image, stamp_ns: int, began_ns: int) -> None:
        image = CameraImage(camera=self._camera.name, stamp_ns=stamp_ns, rgb=rgb)
        msg = convert.image_msg(image, self._camera.frame_id)
        self._images.publish(msg)
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
