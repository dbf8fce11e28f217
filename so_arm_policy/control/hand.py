"""One arm with its hand, as routines see it, in the world frame."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from so_arm_policy.control.carrying import with_joint
from so_arm_policy.control.ik import ArmIk
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.robot import RobotConfig

HELD_RAD = 0.03  # a gripper that has something between its jaws stays so far from where it was sent
MOST_SQUEEZED_RAD = 0.14  # after a hold: further from the arm than it lets, the supervisor lets nobody begin


@dataclass(frozen=True, kw_only=True, eq=False)
class HandPose:
    """Where a hand is: R_world_hand (3, 3), its z axis out of it; tip: its fingertip, (3,) m, world frame."""

    R_world_hand: FloatArray
    tip: FloatArray

    @property
    def ahead(self) -> FloatArray:
        """Where it points, (3,)."""
        return self.R_world_hand[:, 2]

    @property
    def jaws(self) -> FloatArray:
        """Direction from the fixed to the moving jaw, (3,)."""
        return -self.R_world_hand[:, 0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Hand:
    """number: of the arm in the robot; base: where it stands, (3,) m, world frame."""

    number: int
    ik: ArmIk
    base: FloatArray

    @classmethod
    def all_of(cls, robot: RobotConfig, iks: Sequence[ArmIk]) -> tuple[Self, ...]:
        """Return the hand of each arm. iks: of each arm of `robot`."""
        bases = [np.array(arm.base_xyz) for arm in robot.arms]
        return tuple(cls(number=i, ik=ik, base=base) for i, (ik, base) in enumerate(zip(iks, bases, strict=True)))

    def facing(self, point: FloatArray) -> float:
        """Direction in which the arm faces when its fingertip is at `point` (3,) m, rad."""
        return self.ik.facing(point - self.base)

    def pose(self, q: FloatArray) -> HandPose:
        """Return where the hand is at joints q (n,) rad of the robot."""
        R_world_hand, tip = self.ik.frame(q)
        return HandPose(R_world_hand=R_world_hand, tip=tip + self.base)

    def solve(
        self,
        point: FloatArray,
        start: FloatArray,
        *,
        roll: float | None = None,
        pitch: float = math.pi / 2,
        tolerance_m: float = 3e-3,
    ) -> FloatArray:
        """Return q (n,) rad with the fingertip at `point` (3,) m; see ArmIk.solve. Raises InputError."""
        return self.ik.solve(point - self.base, start, roll=roll, pitch=pitch, tolerance_m=tolerance_m)

    def gripping(self, q: FloatArray, angle: float) -> FloatArray:
        """Return q (n,) rad with the gripper at `angle` rad."""
        return with_joint(q, self.ik.gripper, angle)

    def moved(self, q: FloatArray, to: FloatArray) -> FloatArray:
        """Return q (n,) rad with this arm's joints as in `to` (n,) rad."""
        out = np.array(q, dtype=np.float64)
        out[self.ik.joints] = to[self.ik.joints]
        return out

    def holds(self, q: FloatArray, sent: FloatArray) -> bool:
        """Whether something is between the jaws at measured q (n,) rad, the gripper sent to where `sent` has it."""
        return bool(q[self.ik.gripper] - sent[self.ik.gripper] > HELD_RAD)

    def still_gripping(self, q: FloatArray, sent: FloatArray) -> FloatArray:
        """Return measured joints q (n,) rad, but a gripper with something between its jaws as it was `sent`, (n,)."""
        gripper = self.ik.gripper
        return self.gripping(q, max(sent[gripper], q[gripper] - MOST_SQUEEZED_RAD)) if self.holds(q, sent) else q
