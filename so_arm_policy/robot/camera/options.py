"""What a person may ask of a camera. Field by field these are the parameters `capture.*` of the camera's node."""

from dataclasses import dataclass, field
from typing import Any

from so_arm_policy.core.errors import ConfigError

AS_IT_IS = -1  # of settings that are left as the camera has them
AUTOMATIC = 0


def _option(default: Any, description: str, low: float | None = None, high: float | None = None) -> Any:
    return field(default=default, metadata={"description": description, "low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class CaptureOptions:
    """Size 0 is the calibration's, or 640x480; rate 0 that of the robot's description. -1 leaves a setting alone."""

    width: int = _option(0, "of the pictures asked for, pixels; 0: of the calibration, or 640", 0, 8192)
    height: int = _option(0, "of the pictures asked for, pixels; 0: of the calibration, or 480", 0, 8192)
    fps: float = _option(0.0, "pictures a second asked for; 0: of the robot's description", 0.0, 1000.0)
    pixel_format: str = _option("MJPG", "how the camera sends pictures, four letters; empty: as it likes")
    exposure_ms: float = _option(-1.0, "fixed exposure, ms; 0: automatic, -1: as the camera has it", -1.0, 10_000.0)
    white_balance_k: int = _option(-1, "fixed white balance, K; 0: automatic, -1: as the camera has it", -1, 20_000)
    gain: int = _option(-1, "fixed gain, in the driver's units; -1: as the camera has it", -1, 1_000_000)
    focus: int = _option(-1, "fixed focus, in the driver's units; -1: as the camera has it", -1, 1_000_000)
    latency_s: float = _option(0.0, "from capture to the camera's stamp, as somebody measured it, s", 0.0, 1.0)
    most_repeats: int = _option(30, "identical pictures in a row that are a fault; 0: never", 0, 100_000)

    def __post_init__(self) -> None:
        """Refuse what no camera can do. Raises ConfigError."""
        if bool(self.width) != bool(self.height):
            raise ConfigError(f"capture: got width {self.width}, height {self.height}, expected both or neither")
        if self.pixel_format and not (len(self.pixel_format) == 4 and self.pixel_format.isascii()):
            raise ConfigError(f"capture: got pixel_format {self.pixel_format!r}, expected four letters, e.g. 'MJPG'")
        for name in ("exposure_ms", "white_balance_k", "gain", "focus"):
            value = getattr(self, name)
            if not (value == AS_IT_IS or value >= 0):
                raise ConfigError(f"capture: got {name} {value}, expected -1 (as it is), or 0 or more")
        if not (0.0 <= self.fps <= 1000.0 and 0.0 <= self.latency_s <= 1.0 and self.most_repeats >= 0):
            got = f"fps {self.fps}, latency_s {self.latency_s}, most_repeats {self.most_repeats}"
            raise ConfigError(f"capture: got {got}, expected 0..1000, 0..1 and 0 or more")
