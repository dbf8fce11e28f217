"""The absolute grid that every tick loop runs on."""

from dataclasses import dataclass

from so_arm_policy.core.errors import ConfigError

NS = 1_000_000_000
CONTROL_HZ = 120


@dataclass(frozen=True, kw_only=True)
class TimeGrid:
    """Ticks at `origin_ns + k / rate_hz`, in integer nanoseconds, without drift for any integer rate."""

    origin_ns: int
    rate_hz: int = CONTROL_HZ

    def __post_init__(self) -> None:
        """Refuse rates no loop here can keep."""
        if not 0 < self.rate_hz <= 10_000:
            raise ConfigError(f"time grid: got {self.rate_hz} Hz, expected 1..10000")

    @property
    def period_ns(self) -> int:
        """Time between ticks, rounded down to a nanosecond."""
        return NS // self.rate_hz

    def due_ns(self, tick: int) -> int:
        """Return when `tick` is due."""
        return self.origin_ns + tick * NS // self.rate_hz

    def tick_at(self, now_ns: int) -> int:
        """Return the newest tick that is due at `now_ns`."""
        tick = (now_ns - self.origin_ns) * self.rate_hz // NS
        return tick + 1 if self.due_ns(tick + 1) <= now_ns else tick
