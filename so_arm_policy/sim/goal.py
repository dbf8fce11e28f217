"""What an instruction means: objects and where each goes, one step after the other."""

from dataclasses import dataclass

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.objects import OBJECT_COUNT

PLACES = ("bowl", "plate")


@dataclass(frozen=True)
class Step:
    """Do it to object number `object`; put it to `place`, or only go there (None)."""

    object: int
    place: str | None = None

    def __post_init__(self) -> None:
        """Refuse objects and places that no scene has."""
        if not 0 <= self.object < OBJECT_COUNT:
            raise ConfigError(f"step: got object {self.object}, expected 0..{OBJECT_COUNT - 1}")
        if self.place is not None and self.place not in PLACES:
            raise ConfigError(f"step: got place {self.place!r}, expected one of {list(PLACES)} or None")


@dataclass(frozen=True)
class Goal:
    """Steps in the order in which they are to be done."""

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        """Refuse a goal without steps."""
        if not self.steps:
            raise ConfigError("goal: got no steps, expected at least one")
