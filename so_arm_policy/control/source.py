"""What every hand-crafted controller looks like from outside."""

from typing import Protocol, runtime_checkable

from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import JointSample

BLIND_NS = NS  # a source that goes by sight and gets no newer picture for so long comes to rest until there is one
FUTURE_NS = NS // 50  # a picture from further ahead of now is none; as the supervisor's future_tolerance_s


class Source(Protocol):
    """Makes one joint command for each tick. What it says is a proposal: the safety supervisor decides."""

    name: str

    def command(self, now_ns: int, sample: JointSample) -> tuple[FloatArray, FloatArray] | None:
        """Return position (n,) rad and velocity (n,) rad/s wanted at `now_ns` (ROS time), or None for no command."""

    def reset(self) -> None:
        """Forget all that was: the next command starts from the measured pose."""


@runtime_checkable
class StandsBy(Protocol):
    """A source that, when the arm was held for a while, goes on with what it was doing. Others begin anew."""

    def standby(self, now_ns: int, sample: JointSample) -> tuple[FloatArray, FloatArray]:
        """Return what to propose, as `command` does, while the arm is held: to stay. The next `command` goes on."""


class TaskSource(Source, Protocol):
    """A source that does what an instruction says to things that it is shown."""

    def tell(self, instruction: str) -> None:
        """Set what to do, in words; begun when the things are seen. Raises InputError, and changes nothing."""

    @property
    def wanted(self) -> frozenset[str] | None:
        """Colours of the things that matter now; None for all things and places, empty while nothing matters."""

    def see(self, table: Tabletop, stamp_ns: int) -> None:
        """Take note of what was on the table at `stamp_ns`, ROS time: as soon as the pictures were understood."""
