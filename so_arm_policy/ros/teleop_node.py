"""The source `teleop`: the arm follows leader/joint_states while the clutch is engaged (service teleop/clutch)."""

import sys
import threading
import time
from dataclasses import dataclass, field

from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool

from so_arm_policy.control.teleop import Clutch, Teleop, TeleopConfig
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.ticks import Tick
from so_arm_policy.core.values import JointSample
from so_arm_policy.msg import SafetyStatus
from so_arm_policy.robot.description import load_robot
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.node import age_ms
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.source_node import SourceNode
from so_arm_policy.ros.status import moves
from so_arm_policy.ros.tick_node import TickNodeConfig
from so_arm_policy.safety.values import Mode


@dataclass(frozen=True, kw_only=True)
class TeleopNodeConfig(TickNodeConfig):
    """Parameters of the teleop node."""

    leader: str = parameter(
        "", "description of the leader, whose gripper's range is mapped to the robot's; empty: that of the robot"
    )
    teleop: TeleopConfig = field(default_factory=TeleopConfig)


class TeleopNode(SourceNode[TeleopNodeConfig]):
    """Stays until a person engages the clutch; says why it does not follow."""

    def __init__(self) -> None:
        """Raises ConfigError."""
        super().__init__("teleop", TeleopNodeConfig)
        self._leader = load_robot(self.config.leader) if self.config.leader else self.robot
        self.source = self._teleop = Teleop(self.config.teleop, self.robot, self._leader)
        self._lock = threading.Lock()  # of the teleop: messages and services come in another thread than ticks
        self._acts, self._standing, self._reported = False, "the supervisor has not been heard", ""
        self._led_ns: int | None = None
        self.listen(topics.LEADER_JOINT_STATES, self._on_leader)
        self.create_service(topics.CLUTCH.type, topics.CLUTCH.name, self._on_clutch)

    def tick(self, tick: Tick) -> None:
        """Propose, and say when the clutch has opened by itself."""
        with self._lock:
            super().tick(tick)
            opened = self._teleop.opened
        if opened and opened != self._reported:
            self.report("clutch", f"clutch: opened, {opened}; engage it again")
        self._reported = opened

    def observed_ns(self, sample: JointSample) -> int:
        """Return the stamp of the leader or of the joints, whichever is older."""
        return min(sample.stamp_ns, self._teleop.led_ns(otherwise_ns=sample.stamp_ns))

    def facts(self) -> dict[str, object]:
        """Return whether the arm follows, and why not."""
        with self._lock:
            clutch, opened = self._teleop.clutch, self._teleop.opened
        age = age_ms(time.monotonic_ns(), self._led_ns)
        return {**super().facts(), "clutch": clutch.value, "clutch_opened": opened, "leader_age_ms": age}

    def _on_leader(self, msg: JointState) -> None:
        q = self._leader.order(msg.name, msg.position, topics.LEADER_JOINT_STATES.name)
        with self._lock:
            self._teleop.lead(convert.stamp_ns(msg.header.stamp), q)
        self._led_ns = time.monotonic_ns()

    def _on_status(self, msg: SafetyStatus) -> None:
        super()._on_status(msg)
        self._acts = moves(msg, self.source.name)
        self._standing = f"the supervisor has {msg.source!r} in {Mode(msg.state).name}: {msg.reason_text}"
        # A hold may be over in a moment, and is waited for; after this a person decides.
        if msg.state == SafetyStatus.ESTOP or msg.source != self.source.name:
            with self._lock:
                self._teleop.release(self._standing)

    def _on_clutch(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        try:
            response.message = self._set_clutch(request.data)
            response.success = True
        except InputError as error:
            response.message = str(error)
        self.get_logger().info(response.message)
        return response

    def _set_clutch(self, engaged: bool) -> str:
        with self._lock:
            if not engaged:
                self._teleop.release()
                return "clutch: released, the arm stays"
            if not self._acts:
                raise InputError(f"clutch: {self._standing}, expected 'teleop' to act")
            self._teleop.engage(self.now_ns())
            coming = self._teleop.clutch is Clutch.COMING
            return "clutch: engaged, the arm comes to its leader" if coming else "clutch: engaged, the arm follows"


def main() -> int:
    """Run the node."""
    return run_node(TeleopNode)


if __name__ == "__main__":
    sys.exit(main())
