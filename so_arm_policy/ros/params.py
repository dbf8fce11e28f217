"""ROS parameters from frozen dataclasses: one home for each default, its description and its range."""

import dataclasses
import math
import types
import typing
from collections.abc import Sequence
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, ParameterType
from rclpy.exceptions import InvalidParameterException, InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from so_arm_policy.core.errors import ConfigError

T = TypeVar("T")
_TYPES = {
    bool: ParameterType.PARAMETER_BOOL,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
    str: ParameterType.PARAMETER_STRING,
    tuple: ParameterType.PARAMETER_STRING_ARRAY,
}
# rclpy declares these by itself.
_BUILTIN = ("use_sim_time", "start_type_description_service")


def parameter(
    default: Any,
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """Describe one field of a parameter dataclass; bounds are inclusive."""
    meta = {"description": description, "low": low, "high": high, "choices": tuple(choices)}
    return dataclasses.field(default=default, metadata=meta)


def safety_parameter() -> Any:
    """Return the parameter that names the file of the supervisor's rules, the same for all nodes that read it."""
    return parameter("safety.yaml", "parameters of the rules: a shipped file (config) or a path")


def declare(node: Node, cls: type[T]) -> T:
    """Declare a parameter for each field of the dataclass `cls` and return their values as one.

    Fields that are dataclasses give `name.field`. All are read-only once the node runs. Raises ConfigError for a wrong
    type, a value out of range, or a parameter that was given and does not exist.
    """
    declared: set[str] = set()
    value = _declare_all(node, cls, "", declared)
    given = [n for n in _overrides(node) if n not in _BUILTIN and not n.startswith("qos_overrides.")]
    unknown = sorted(set(given) - declared)
    if unknown:
        raise ConfigError(f"parameters: got {unknown}, expected some of {sorted(declared)}")
    return value


def _overrides(node: Node) -> dict[str, Parameter]:
    # rclpy offers no other way to see what was given and not declared.
    overrides: dict[str, Parameter] = node._parameter_overrides
    return overrides


def _declare_all(node: Node, cls: type[T], prefix: str, declared: set[str]) -> T:
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            values[field.name] = _declare_all(node, typing.cast(type, hint), f"{prefix}{field.name}.", declared)
        else:
            declared.add(prefix + field.name)
            values[field.name] = _declare_one(node, prefix + field.name, field, hint)
    return cls(**values)


def _declare_one(node: Node, name: str, field: "dataclasses.Field[Any]", hint: Any) -> Any:
    optional = isinstance(hint, types.UnionType)
    kind = next(a for a in typing.get_args(hint) if a is not type(None)) if optional else hint
    kind = typing.get_origin(kind) or kind
    default: Any = field.default
    if default is None:
        default = kind()  # empty text stands for None
    elif kind is tuple:
        default = list(default)
    _accept_int_for_float(node, name, kind)
    try:
        value = node.declare_parameter(name, default, _descriptor(field, kind)).value
    except (InvalidParameterTypeException, InvalidParameterValueException, InvalidParameterException) as error:
        given = _overrides(node)[name].value if name in _overrides(node) else default
        raise ConfigError(f"parameter {name!r}: got {given!r}, expected {_expected(field, kind)}") from error
    if kind is float and not math.isfinite(value):
        raise ConfigError(f"parameter {name!r}: got {value!r}, expected {_expected(field, kind)}")
    choices = field.metadata.get("choices", ())
    if choices and value not in choices:
        raise ConfigError(f"parameter {name!r}: got {value!r}, expected one of {list(choices)}")
    if optional and value == kind():
        return None
    return tuple(value) if kind is tuple else value


def _accept_int_for_float(node: Node, name: str, kind: type) -> None:
    """A person who writes `rate:=10` means 10.0."""
    given = _overrides(node).get(name)
    if kind is float and given is not None and given.type_ == Parameter.Type.INTEGER:
        _overrides(node)[name] = Parameter(name, Parameter.Type.DOUBLE, float(given.value))


def _descriptor(field: "dataclasses.Field[Any]", kind: type) -> ParameterDescriptor:
    meta = field.metadata
    choices = meta.get("choices", ())
    descriptor = ParameterDescriptor(
        name=field.name,
        type=_TYPES[kind],
        description=meta.get("description", ""),
        additional_constraints=f"one of {list(choices)}" if choices else "",
        read_only=True,
    )
    low, high = meta.get("low"), meta.get("high")
    if low is not None and high is not None:
        if kind is int:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=0)]
        else:
            bounds = FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)
            descriptor.floating_point_range = [bounds]
    return descriptor


def _expected(field: "dataclasses.Field[Any]", kind: type) -> str:
    low, high = field.metadata.get("low"), field.metadata.get("high")
    names: dict[type, str] = {tuple: "a list of texts", str: "text"}
    name = names.get(kind, kind.__name__)
    return name if low is None else f"{name} within {low}..{high}"
