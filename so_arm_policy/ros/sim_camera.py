"""A simulated camera in its node: what it draws has the time of the simulator's state."""

import time
from collections.abc import Callable

from so_arm_policy.core.errors import DeviceError, SoArmError
from so_arm_policy.core.intrinsics import pinhole_of
from so_arm_policy.core.latest import Latest
from so_arm_policy.core.robot import CameraConfig, RobotConfig
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import Image
from so_arm_policy.msg import SimState
from so_arm_policy.ros import convert
from so_arm_policy.ros.node import StackNode
from so_arm_policy.ros.sim_picture import SimPicture

WAIT_S = 0.2
NO_STATE_S = 1.0


class SimCamera:
    """Draws states until the node stops. publish: gets the picture, its ROS time and when its making began, ns."""

    def __init__(self, robot: RobotConfig, camera: CameraConfig, states: Latest[SimState]) -> None:
        """states: where the newest state is; closed when the node stops."""
        self._robot, self._camera, self._states = robot, camera, states
        self.intrinsics = pinhole_of(camera)

    def facts(self) -> dict[str, object]:
        """Return nothing: it has no device of which there would be something to say."""
        return {}

    def run(self, node: StackNode, publish: Callable[[Image, int, int], None]) -> None:
        """Draw until the node stops: states as they come, but no more than the camera takes pictures."""
        picture = SimPicture(self._robot, self._camera.name)
        period_ns, silent_since = NS // round(self._camera.fps), time.monotonic()
        drawn_ns: int | None = None
        while not node.stopping.is_set():
            state = self._states.wait(WAIT_S)
            if state is None:
                if time.monotonic() - silent_since > NO_STATE_S and not node.stopping.is_set():
                    node.report("sim/state", "sim/state: got none, expected a simulator", warn=True)
                continue
            silent_since, began_ns = time.monotonic(), time.monotonic_ns()
            stamp_ns = convert.stamp_ns(state.header.stamp)
            # Half a period of grace: states that come as fast as the camera takes pictures are all drawn.
            if drawn_ns is not None and 0 <= stamp_ns - drawn_ns < period_ns // 2:
                continue
            try:
                publish(picture.draw(state), stamp_ns, began_ns)
                drawn_ns = stamp_ns
            except DeviceError:
                raise  # no OpenGL: nothing will be drawn here
            except SoArmError as error:
                node.report("sim/state", str(error))
        picture.close()
