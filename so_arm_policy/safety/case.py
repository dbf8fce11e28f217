"""What a rule looks at: one tick, and one proposal in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from so_arm_policy.core.arrays import FloatArray, vector
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import JointSample, Proposal
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.limits import Limits
from so_arm_policy.safety.values import Mode, SupervisorState, TickInput


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """All that stays the same from tick to tick. doubt_step: (n,) rad, the largest move in one tick under a doubt."""

    config: SupervisorConfig
    robot: RobotConfig
    limits: Limits
    period_ns: int
    proposal_timeout_ns: int
    state_timeout_ns: int
    observation_timeout_ns: int
    future_tolerance_ns: int
    stall_ns: int
    clock_timeout_ns: int
    following_ns: int
    press_ns: int
    motors_timeout_ns: int
    doubt_ns: int
    doubt_clear_ns: int
    doubt_age_ns: int
    doubt_step: FloatArray
    least_clearance: Mapping[str, float]

    @classmethod
    def of(cls, config: SupervisorConfig, robot: RobotConfig) -> Self:
        """Work out what the rules need at every tick. Raises ConfigError."""
        limits = Limits.of(config, robot)
        return cls(
            config=config,
            robot=robot,
            limits=limits,
            period_ns=1_000_000_000 // config.rate_hz,
            proposal_timeout_ns=round(config.proposal_timeout_s * 1e9),
            state_timeout_ns=round(config.state_timeout_s * 1e9),
            observation_timeout_ns=round(config.observation_timeout_s * 1e9),
            future_tolerance_ns=round(config.future_tolerance_s * 1e9),
            stall_ns=round(config.stall_s * 1e9),
            clock_timeout_ns=round(config.clock_timeout_s * 1e9),
            following_ns=round(config.following_s * 1e9),
            press_ns=round(config.press_s * 1e9),
            motors_timeout_ns=round(config.motors_timeout_s * 1e9),
            doubt_ns=round(config.doubt_s * 1e9),
            doubt_clear_ns=round(config.doubt_clear_s * 1e9),
            doubt_age_ns=round(config.doubt_age_s * 1e9),
            doubt_step=vector(limits.velocity_step * config.doubt_speed),
            least_clearance={
                "self": config.clear_self_m,
                "table": config.clear_table_m,
                "arms": config.clear_arms_m,
                "hands": config.clear_hands_m,
                "keep_out": config.clear_keep_out_m,
            },
        )


@dataclass(frozen=True, eq=False)
class Tick:
    """One tick before any proposal is looked at: the state left by the previous one, and the new input."""

    setup: Setup
    state: SupervisorState
    input: TickInput


@dataclass(frozen=True, eq=False)
class Case:
    """The proposal of the source `name` in one tick, after the rules for the tick itself have passed."""

    setup: Setup
    state: SupervisorState
    input: TickInput
    sample: JointSample
    output: FloatArray
    name: str
    proposal: Proposal

    @property
    def fresh(self) -> bool:
        """Whether this proposal arrived since the last one that was accepted."""
        heard = self.state.heard
        return (
            heard is None
            or heard.received_ns != self.proposal.received_ns
            or heard.sequence != self.proposal.sequence
            or heard.stamp_ns != self.proposal.stamp_ns
        )

    @property
    def joined(self) -> bool:
        """Whether the source acted in the previous tick."""
        return self.state.mode in (Mode.ACTIVE, Mode.FALLBACK)

    @cached_property
    def q(self) -> FloatArray:
        """Proposed positions in the robot's order, (n,) rad; bit-identical to what arrived. Raises InputError."""
        return _ordered(self.setup.robot, self.proposal.joint_names, self.proposal.q, "position")

    @property
    def dq(self) -> FloatArray | None:
        """Proposed velocities in the robot's order, (n,) rad/s. Raises InputError."""
        dq = self.proposal.dq
        if dq is None or len(dq) == 0:
            return None
        return _ordered(self.setup.robot, self.proposal.joint_names, dq, "velocity")


def _ordered(robot: RobotConfig, names: tuple[str, ...], values: FloatArray, what: str) -> FloatArray:
    if names == robot.joint_names and values.shape == (len(names),) and bool(np.isfinite(values).all()):
        # A copy: what becomes the command must not change when the sender writes to its array again.
        return np.array(values, dtype=np.float64)
    return robot.order(names, values, what)  # type: ignore[arg-type]
