from dataclasses import dataclass, field

import pytest

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.overrides import overridden


@dataclass(frozen=True, kw_only=True)
class Engine:
    power: float = 1.0
    fuel: str = "wood"


@dataclass(frozen=True, kw_only=True)
class SteamEngine(Engine):
    pipes: int = 3


@dataclass(frozen=True, kw_only=True)
class Boat:
    engine: Engine = field(default_factory=SteamEngine)
    crew: int = 2


def test_nested_fields_of_the_real_type_are_changed():
    boat = overridden(Boat(), ["engine.pipes=5", "engine.fuel=coal", "engine.power=2", "crew=4"])
    assert boat == Boat(engine=SteamEngine(power=2.0, fuel="coal", pipes=5), crew=4)
    assert overridden(Boat(), []) == Boat()


@dataclass(frozen=True, kw_only=True)
class Oars:
    left: int = 1
    right: int = 1

    def __post_init__(self):
        if self.left != self.right:
            raise ConfigError(f"oars: got {self.left} and {self.right}, expected as many")


def test_changes_that_fit_only_together_are_made_together():
    assert overridden(Oars(), ["left=3", "right=3"]) == Oars(left=3, right=3)
    assert overridden(Oars(), ["left=3", "right=2", "left=2"]) == Oars(left=2, right=2)
    with pytest.raises(ConfigError, match="got 3 and 1"):
        overridden(Oars(), ["left=3"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("crew", "expected KEY=VALUE"),
        ("=4", "expected KEY=VALUE"),
        ("sails=4", r"got no 'sails', expected one of \['engine', 'crew'\]"),
        ("engine.sails=4", "expected one of .*'pipes'"),
        ("crew.size=4", r"got no 'size', expected one of \[\]"),
        ("crew=many", "got 'many', expected int"),
        ("crew=2.5", "got 2.5, expected int"),
        ("engine=fast", "expected a field of it"),
    ],
)
def test_what_cannot_be_changed_is_named(change, message):
    with pytest.raises(ConfigError, match=message):
        overridden(Boat(), [change])
