"""Parameters of the supervisor. Times in s, angles in rad; limits come from the robot and can only be tightened."""

from dataclasses import dataclass, field

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.keep_out import KeepOuts
from so_arm_policy.core.timegrid import CONTROL_HZ

ANSWERS = ("warn", "slow", "fallback")  # to a doubt in a learned policy; see safety/doubt.py
SOURCES = ("system1", "pid", "cartesian_pid", "servo", "planner", "teleop", "replay", "hold")

# Widest value each parameter may take: above it the rule would be there in name only.
_CLEAREST_M = 0.1
_LOOK_AHEAD_M = 0.01
# Smallest distance in m that each kind of clearance may ask for: gripping on a table, and from hand to hand, touches.
_CLEAR_AT_LEAST = {
    "clear_self_m": 0.0,
    "clear_table_m": -0.005,
    "clear_arms_m": 0.0,
    "clear_hands_m": -0.02,
    "clear_keep_out_m": 0.0,
}
_AT_MOST = {
    "proposal_timeout_s": 0.5,
    "state_timeout_s": 0.5,
    "observation_timeout_s": 10.0,
    "future_tolerance_s": 0.1,
    "stall_s": 0.25,
    "clock_timeout_s": 1.0,
    "continuity_rad": 0.5,
    "following_s": 1.0,
    "press_share": 0.5,
    "press_s": 1.5,
    "frozen_rad": 0.3,
    "jump_rad": 0.5,
    "motors_timeout_s": 5.0,
    "position_band_rad": 0.5,
    "step_band_rad": 0.5,
    "doubt_s": 5.0,
    "doubt_clear_s": 30.0,
    "doubt_ratio": 10.0,
    "doubt_age_s": 10.0,
    "doubt_speed": 1.0,
    "velocity_scale": 1.0,
    "acceleration_scale": 1.0,
    "jerk_scale": 1.0,
}


@dataclass(frozen=True, kw_only=True)
class SupervisorConfig:
    """How the supervisor judges; config/safety.yaml explains each value.

    sources: the only ones that can be selected. fallback: the one that takes over when the selected one fails, or None.
    """

    sources: tuple[str, ...] = SOURCES
    fallback: str | None = None
    rate_hz: int = CONTROL_HZ
    proposal_timeout_s: float = 0.05
    state_timeout_s: float = 0.1
    observation_timeout_s: float = 3.0
    future_tolerance_s: float = 0.02
    stall_s: float = 0.03
    clock_timeout_s: float = 0.2
    continuity_rad: float = 0.15
    following_s: float = 0.1
    press_share: float = 0.3
    press_s: float = 0.5
    frozen_rad: float = 0.1
    jump_rad: float = 0.1
    motors_timeout_s: float = 1.0
    position_band_rad: float = 0.1
    step_band_rad: float = 0.25
    clear_self_m: float = 0.005
    clear_table_m: float = 0.0
    clear_arms_m: float = 0.02
    clear_hands_m: float = -0.004
    clear_keep_out_m: float = 0.01
    keep_outs: KeepOuts = field(default_factory=KeepOuts)
    doubt_s: float = 0.3
    doubt_clear_s: float = 0.5
    doubt_ratio: float = 1.0
    doubt_age_s: float = 1.5
    doubt_speed: float = 0.25
    on_novelty: str = "warn"
    on_disagreement: str = "warn"
    on_context_age: str = "slow"
    estop_limp: bool = False
    position_margin_rad: float = 0.0
    velocity_scale: float = 1.0
    acceleration_scale: float = 1.0
    jerk_scale: float = 1.0

    @property
    def looking_m(self) -> float:
        """How far a model of the arm has to look for what is near, m."""
        return max(getattr(self, name) for name in _CLEAR_AT_LEAST) + _LOOK_AHEAD_M

    def __post_init__(self) -> None:
        """Refuse what would switch a rule off. Raises ConfigError."""
        if not self.sources or len(set(self.sources)) != len(self.sources) or "" in self.sources:
            raise ConfigError(f"safety: got sources {list(self.sources)}, expected different names")
        if self.fallback is not None and self.fallback not in self.sources:
            raise ConfigError(f"safety: got fallback {self.fallback!r}, expected one of {list(self.sources)}")
        if not 1 <= self.rate_hz <= 1000:
            raise ConfigError(f"safety: got rate_hz {self.rate_hz}, expected 1..1000")
        for name, most in _AT_MOST.items():
            if not 0.0 < getattr(self, name) <= most:
                raise ConfigError(f"safety: got {name} {getattr(self, name)}, expected 0 < {name} <= {most}")
        for name, least in _CLEAR_AT_LEAST.items():
            if not least <= getattr(self, name) <= _CLEAREST_M:
                got = f"{name} {getattr(self, name)}"
                raise ConfigError(f"safety: got {got}, expected {least} <= {name} <= {_CLEAREST_M}")
        for name in ("on_novelty", "on_disagreement", "on_context_age"):
            if getattr(self, name) not in ANSWERS:
                raise ConfigError(f"safety: got {name} {getattr(self, name)!r}, expected one of {list(ANSWERS)}")
        if not 0.0 <= self.position_margin_rad <= 1.0:
            raise ConfigError(f"safety: got position_margin_rad {self.position_margin_rad}, expected 0..1")
        if not self.stall_s * self.rate_hz > 1.0:
            raise ConfigError(f"safety: got stall_s {self.stall_s}, expected more than a tick of {self.rate_hz} Hz")
        if not self.step_band_rad >= self.continuity_rad:
            raise ConfigError(
                f"safety: got step_band_rad {self.step_band_rad}, expected at least {self.continuity_rad} (continuity)"
            )
