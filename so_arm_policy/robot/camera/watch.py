"""What is wrong with a stream of pictures: some that are missing, the same one again, times that go back."""

import numpy as np

from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import Image
from so_arm_policy.robot.camera.frame import Frame

MISSING = 0.9  # of a period that a stream has fallen behind: one picture is missing
FORGOTTEN = 0.02  # of what it is behind, with each picture: clocks of cameras differ


class FrameWatch:
    """Follows one camera. dropped: pictures that never came; repeated: those identical to the one before.

    in_a_row: how many of them came last; backwards: stamps that did not go on. Without a driver's stamps, a picture
    that is taken two periods late looks like a dropped one.
    """

    def __init__(self, most_repeats: int) -> None:
        """most_repeats: identical pictures in a row that are a fault; 0: they never are."""
        self._most_repeats = most_repeats
        self.taken = self.dropped = self.repeated = self.in_a_row = self.backwards = 0
        self._period_ns = 0.0
        self._last: Image | None = None
        self._last_ns = 0
        self._behind = 0.0  # periods

    def begin(self, fps: float) -> None:
        """A stream begins that promises `fps` pictures a second: what was before it says nothing of it."""
        self._period_ns = NS / fps
        self._last, self._last_ns, self._behind, self.in_a_row = None, 0, 0.0, 0

    def note(self, frame: Frame) -> None:
        """Take the next picture of a live source into account."""
        self.taken += 1
        if self._last is not None:
            self._note_time(frame)
            same = self._last.shape == frame.bgr.shape and np.array_equal(self._last, frame.bgr)
            self.in_a_row = self.in_a_row + 1 if same else 0
            self.repeated += same
        self.dropped += frame.lost
        self._last, self._last_ns = frame.bgr, frame.taken_ns

    @property
    def frozen(self) -> bool:
        """Whether the camera repeats one picture."""
        return 0 < self._most_repeats <= self.in_a_row

    def _note_time(self, frame: Frame) -> None:
        gap_ns = frame.taken_ns - self._last_ns
        if gap_ns <= 0:
            self.backwards += 1
            return
        # Those counted as lost have come, damaged.
        self._behind = (1.0 - FORGOTTEN) * self._behind + gap_ns / self._period_ns - 1.0 - frame.lost
        missing = int(self._behind + 1.0 - MISSING)
        if missing > 0:
            self.dropped += missing
            self._behind -= missing
        self._behind = max(self._behind, 0.0)  # pictures that come early make up for none that will be missing
