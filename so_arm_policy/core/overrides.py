"""Changes of a nested frozen config, given as text: `expert.width=256`."""

import dataclasses
import json
import typing
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.mapping import convert

T = TypeVar("T")


def overridden(config: T, changes: Sequence[str]) -> T:
    """Return the dataclass `config` with each of `changes`, `path.to.field=value`, made; values are JSON or plain text.

    Raises ConfigError that names the change and the fields there are.
    """
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals or not path:
            raise ConfigError(f"override: got {change!r}, expected KEY=VALUE, e.g. expert.width=256")
        config = _changed(config, path.split("."), _value(text), change)
    return config


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _changed(node: T, path: list[str], value: Any, change: str) -> T:
    fields = [f.name for f in dataclasses.fields(cast(Any, node))] if dataclasses.is_dataclass(node) else []
    if path[0] not in fields:
        raise ConfigError(f"override {change!r}: got no {path[0]!r}, expected one of {fields}")
    if len(path) > 1:
        inner = _changed(getattr(node, path[0]), path[1:], value, change)
        return cast(T, dataclasses.replace(cast(Any, node), **{path[0]: inner}))
    if dataclasses.is_dataclass(getattr(node, path[0])):
        raise ConfigError(f"override {change!r}: got {value!r} for a group, expected a field of it")
    hint = typing.get_type_hints(type(node))[path[0]]
    return cast(T, dataclasses.replace(cast(Any, node), **{path[0]: convert(hint, value, f"override {change!r}")}))
