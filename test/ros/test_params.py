"""ROS parameters from frozen dataclasses."""

from dataclasses import dataclass, field

import pytest
import rclpy

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.ros.params import declare, parameter


@dataclass(frozen=True, kw_only=True)
class Inner:
    gain: float = parameter(1.5, "a gain", low=0.0, high=10.0)


@dataclass(frozen=True, kw_only=True)
class Outer:
    count: int = parameter(3, "a number", low=1, high=5)
    mode: str = parameter("a", "a word", choices=("a", "b"))
    names: tuple[str, ...] = ("x", "y")
    fallback: str | None = None
    on: bool = False
    inner: Inner = field(default_factory=Inner)


@pytest.fixture
def declared():
    nodes = []

    def start(*arguments):
        rclpy.init(args=["--ros-args", *(part for a in arguments for part in ("-p", a))])
        nodes.append(rclpy.create_node("under_test"))
        return declare(nodes[0], Outer), nodes[0]

    yield start
    for node in nodes:
        node.destroy_node()
    rclpy.try_shutdown()


def test_defaults_come_from_the_dataclass(declared):
    assert declared()[0] == Outer()


def test_given_values_are_taken_with_nested_names(declared):
    value, _ = declared("count:=5", "mode:=b", "inner.gain:=2", "on:=true", "fallback:=x", "names:=[q]")
    assert value == Outer(count=5, mode="b", inner=Inner(gain=2.0), on=True, fallback="x", names=("q",))


def test_descriptions_and_ranges_are_there_to_be_asked_for_and_values_stay(declared):
    _, node = declared()
    descriptor = node.describe_parameter("inner.gain")
    assert descriptor.description == "a gain"
    assert (descriptor.floating_point_range[0].from_value, descriptor.floating_point_range[0].to_value) == (0.0, 10.0)
    assert node.describe_parameter("count").integer_range[0].to_value == 5
    assert "'b'" in node.describe_parameter("mode").additional_constraints
    (result,) = node.set_parameters([rclpy.Parameter("count", value=4)])
    assert not result.successful


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("cuont:=4", "'cuont'"),
        ("count:=9", r"'count': got 9, expected int within 1\.\.5"),
        ("count:=1.5", "'count': got 1.5, expected int"),
        ("mode:=c", r"'mode': got 'c', expected one of \['a', 'b'\]"),
        ("inner.gain:=.nan", "inner.gain"),
        ("inner.gain:=text", "inner.gain"),
        ("on:=1", "'on': got 1, expected bool"),
    ],
)
def test_what_cannot_be_used_is_named(declared, argument, complaint):
    with pytest.raises(ConfigError, match=complaint):
        declared(argument)
