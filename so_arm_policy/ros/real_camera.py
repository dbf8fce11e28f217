"""A real camera in its node: what it takes is stamped with ROS time, what is wrong with it is said."""

import time
from collections.abc import Callable
from pathlib import Path

from so_arm_policy.core.errors import DeviceError
from so_arm_policy.core.robot import CameraConfig
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import Image
from so_arm_policy.robot.camera.calibration_file import load_intrinsics
from so_arm_policy.robot.camera.fit import FitOptions
from so_arm_policy.robot.camera.options import CaptureOptions
from so_arm_policy.robot.camera.source import Camera, Picture
from so_arm_policy.ros.node import StackNode

LOOK_S = 0.1  # while there is no camera
SILENT_S = 1.0


class RealCamera:
    """Takes pictures until the node stops. publish: gets the picture, its ROS time and when its making began, ns."""

    def __init__(
        self,
        camera: CameraConfig,
        device: str,
        calibration: str,
        capture: CaptureOptions,
        fit: FitOptions,
    ) -> None:
        """Raises ConfigError."""
        lens = load_intrinsics(Path(calibration)) if calibration else None
        self._source = Camera(device, camera, capture, lens, fit)
        self._camera = camera
        self.intrinsics = self._source.intrinsics
        self._heard_ns = time.monotonic_ns()
        self._by_driver: bool | None = None

    def facts(self) -> dict[str, object]:
        """Return what the source is and what was wrong with it."""
        source, watch = self._source, self._source.watch
        return {
            "source": source.summary,
            "opened": source.opened,
            "failed": source.failed,
            "dropped": watch.dropped,
            "repeated": watch.repeated,
            "repeats_in_a_row": watch.in_a_row,
            "stamps_backwards": watch.backwards,
            "stamps_by_driver": bool(self._by_driver),
        }

    def check(self, node: StackNode) -> None:
        """Say so when no picture comes; from another thread than `run`, which may wait for the driver."""
        silent_s = (time.monotonic_ns() - self._heard_ns) / NS
        if silent_s > SILENT_S:
            node.report("silent", f"camera {self._camera.name!r}: got no picture for {silent_s:.0f} s", warn=True)

    def run(self, node: StackNode, publish: Callable[[Image, int, int], None]) -> None:
        """Take pictures until the node stops: as they come, or, of files, at the camera's rate."""
        period_ns, due_ns = NS // round(self._camera.fps), time.monotonic_ns()
        while not node.stopping.wait(max(due_ns - time.monotonic_ns(), 0) / NS):
            opened = self._source.opened
            try:
                picture = self._source.read()
            except DeviceError as error:
                node.report("device", str(error))
                picture = None
            if self._source.opened > opened:
                self._tell(node)
            began_ns = time.monotonic_ns()
            if picture is None:
                due_ns = began_ns + round(LOOK_S * NS)
                continue
            due_ns = began_ns if self._source.live else max(due_ns + period_ns, began_ns)
            self._heard_ns = began_ns
            self._note(node, picture)
            if not picture.frozen:
                publish(picture.rgb, node.now_ns() - (time.monotonic_ns() - picture.taken_ns), began_ns)
        self._source.close()

    def _tell(self, node: StackNode) -> None:
        node.get_logger().info(f"camera {self._camera.name!r}: {self._source.summary}")
        self._by_driver = None
        for text in self._source.refused:
            node.report(f"setting {text.partition(':')[0]}", f"camera {self._camera.name!r}: {text}", warn=True)

    def _note(self, node: StackNode, picture: Picture) -> None:
        watch = self._source.watch
        if picture.frozen:
            node.report(
                "frozen",
                f"camera {self._camera.name!r}: got the same picture {watch.in_a_row + 1} times in a row, expected "
                "others: it hangs, or sees nothing; none is published",
            )
        if picture.by_driver != self._by_driver and self._source.live:
            whose = "the driver's" if picture.by_driver else "taken after each picture"
            node.get_logger().info(f"camera {self._camera.name!r}: time stamps are {whose}")
        self._by_driver = picture.by_driver
