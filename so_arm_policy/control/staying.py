"""A source that is never silent: with nothing to do, it stays where the arm is."""

from so_arm_policy.control.hold import Hold
from so_arm_policy.control.source import TaskSource
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.values import JointSample


class Staying:
    """A TaskSource that does as another one and, while that has no command, keeps the arm where it was then.

    On the graph a source begins once it is followed, and only who proposes something is followed.
    """

    def __init__(self, name: str, source: TaskSource) -> None:
        """name: under which it speaks."""
        self.name = name
        self._source, self._hold = source, Hold()

    def reset(self) -> None:
        """Forget all that was."""
        self._source.reset()
        self._hold.reset()

    def tell(self, instruction: str) -> None:
        """Set what to do. Raises InputError, and changes nothing."""
        self._source.tell(instruction)

    @property
    def wanted(self) -> frozenset[str] | None:
        """Colours of the things that matter now."""
        return self._source.wanted

    def see(self, table: Tabletop, stamp_ns: int) -> None:
        """Take note of what was on the table at `stamp_ns`, ROS time."""
        self._source.see(table, stamp_ns)

    def command(self, now_ns: int, sample: JointSample) -> tuple[FloatArray, FloatArray]:
        """Return position (n,) rad and velocity (n,) rad/s wanted at `now_ns`. Raises ShapeError."""
        wanted = self._source.command(now_ns, sample)
        if wanted is None:
            return self._hold.command(now_ns, sample)
        self._hold.reset()
        return wanted
