"""Strict reading: nothing unknown, nothing missing, nothing converted behind one's back."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.mapping import from_mapping, to_mapping


@dataclass(frozen=True)
class Inner:
    gain: float
    steps: int = 3


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    many: tuple[Inner, ...] = ()
    pair: tuple[int, float] = (1, 2.0)
    maybe: float | None = None
    table: dict[str, float] = field(default_factory=dict)
    anything: Any = None
    flag: bool = False


FULL = {
    "name": "x",
    "inner": {"gain": 1, "steps": 4},
    "many": [{"gain": 2.5}],
    "pair": [3, 4],
    "maybe": None,
    "table": {"a": 1},
    "anything": [{"deep": 1}],
    "flag": True,
}


def test_a_full_mapping_is_read_and_written_back():
    value = from_mapping(Outer, FULL)
    assert value == Outer("x", Inner(1.0, 4), (Inner(2.5),), (3, 4.0), None, {"a": 1.0}, [{"deep": 1}], True)
    assert isinstance(value.inner.gain, float)
    assert from_mapping(Outer, to_mapping(value)) == value


def test_defaults_stand_in():
    assert from_mapping(Outer, {"name": "x", "inner": {"gain": 0.5}}) == Outer("x", Inner(0.5))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"nam": "y"}, r"Outer: unknown key 'nam'"),
        ({"inner": {"gain": 1.0, "stepz": 2}}, r"Outer.inner: unknown key 'stepz'"),
        ({"inner": {"steps": 2}}, r"Outer.inner: missing key 'gain'"),
        ({"inner": [1]}, r"Outer.inner: got list, expected a mapping"),
        ({"inner": {"gain": "1"}}, r"Outer.inner.gain: got '1', expected float"),
        ({"inner": {"gain": True}}, r"got True, expected float"),
        ({"inner": {"gain": 1.0, "steps": 2.0}}, r"got 2.0, expected int"),
        ({"inner": {"gain": 1.0, "steps": True}}, r"got True, expected int"),
        ({"inner": {"gain": None}}, r"got None, expected float"),
        ({"name": 3}, r"got 3, expected str"),
        ({"flag": 1}, r"got 1, expected bool"),
        ({"many": {"gain": 1}}, r"expected a list"),
        ({"many": [{"gain": 1}, {"gian": 1}]}, r"Outer.many\[1\]"),
        ({"pair": [1]}, r"got 1 values, expected 2"),
        ({"maybe": "x"}, r"Outer.maybe: got 'x'"),
        ({"table": {"a": "b"}}, r"Outer.table.a"),
        ({"table": {3: 1.0}}, r"got 3, expected str"),
        ({"table": [1]}, r"expected a mapping"),
    ],
)
def test_mistakes_are_named_by_their_path(change, text):
    with pytest.raises(ConfigError, match=text):
        from_mapping(Outer, {**FULL, **change})


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_what_is_no_mapping_is_refused(data):
    with pytest.raises(ConfigError, match="expected a mapping"):
        from_mapping(Outer, data)


def test_all_unknown_keys_are_listed_even_strange_ones():
    with pytest.raises(ConfigError, match=r"unknown key '7', 'z'"):
        from_mapping(Inner, {"z": 1, 7: 2, "gain": 1.0})
