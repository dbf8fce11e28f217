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
