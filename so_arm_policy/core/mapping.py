"""Strict reading of plain mappings (YAML, JSON, parameters) into frozen dataclasses."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from so_arm_policy.core.errors import ConfigError

T = TypeVar("T")


def from_mapping(cls: type[T], data: Any, where: str = "") -> T:
    """Build the dataclass `cls` from `data`, recursively.

    Unknown keys, missing keys and wrong types raise ConfigError naming the path `where`.
    An int is accepted for a float; nothing else is converted.
    """
    where = where or cls.__name__
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: got {type(data).__name__}, expected a mapping")
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    unknown = sorted(str(key) for key in data if key not in fields)
    if unknown:
        raise ConfigError(f"{where}: unknown key {', '.join(map(repr, unknown))}, expected some of {sorted(fields)}")
    missing = [name for name, f in fields.items() if name not in data and _required(f)]
    if missing:
        raise ConfigError(f"{where}: missing key {', '.join(map(repr, missing))}")
    hints = typing.get_type_hints(cls)
    return cls(**{name: convert(hints[name], value, f"{where}.{name}") for name, value in data.items()})


def to_mapping(value: Any) -> Any:
    """Turn a dataclass into plain mappings and lists that `from_mapping` reads back."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_mapping(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    if isinstance(value, Mapping):
        return {str(key): to_mapping(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_mapping(item) for item in value]
    return value


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def convert(hint: Any, value: Any, where: str) -> Any:
    """Check and convert `value` to the type `hint`, as `from_mapping` does for a field. Raises ConfigError."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(args, value, where)
    if dataclasses.is_dataclass(hint):
        return from_mapping(typing.cast(type, hint), value, where)
    if origin is tuple:
        return _convert_tuple(args, value, where)
    if origin in (dict, Mapping, typing.cast(Any, Mapping)):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: got {value!r}, expected a mapping")
        return {convert(args[0], k, where): convert(args[1], v, f"{where}.{k}") for k, v in value.items()}
    return _convert_scalar(hint, value, where)


def _convert_union(args: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in args:
        return None
    (hint,) = [a for a in args if a is not type(None)]
    return convert(hint, value, where)


def _convert_tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{where}: got {value!r}, expected a list")
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(convert(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(args) != len(value):
        raise ConfigError(f"{where}: got {len(value)} values, expected {len(args)}")
    return tuple(convert(a, item, f"{where}[{i}]") for i, (a, item) in enumerate(zip(args, value, strict=True)))


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, bool) and hint is not bool:
        raise ConfigError(f"{where}: got {value!r}, expected {hint.__name__}")
    if not isinstance(value, hint):
        raise ConfigError(f"{where}: got {value!r}, expected {hint.__name__}")
    return value
