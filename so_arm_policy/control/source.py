"""What every hand-crafted controller looks like from outside."""

from typing import Protocol

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.values import JointSample


class Source(Protocol):
    """Makes one joint command for each tick. What it says is a proposal: the safety supervisor decides."""

    name: str

    def command(self, now_ns: int, sample: JointSample) -> tuple[FloatArray, FloatArray] | None:
        """Return position (n,) rad and velocity (n,) rad/s wanted at `now_ns` (ROS time), or None for no command."""

    def reset(self) -> None:
        """Forget all that was: the next command starts from the measured pose."""
