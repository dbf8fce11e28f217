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
    """Return the dataclass `config` with all of `changes`, `path.to.field=value`, made; values are JSON or plain text.

    They are made together: widths that must fit each other may be named in any order. Raises ConfigError that names
    the change and the fields there are.
    """
    tree: dict[str, Any] = {}
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals or not path:
            raise ConfigError(f"override: got {change!r}, expected KEY=VALUE, e.g. expert.width=256")
        _note(config, tree, path.split("."), _value(text), change)
    return _changed(config, tree)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _note(node: Any, tree: dict[str, Any], path: list[str], value: Any, change: str) -> None:
    """Put the change into `tree`, a mapping of the fields of `node` that change to their values or their trees."""
    fields = [f.name for f in dataclasses.fields(node)] if dataclasses.is_dataclass(node) else []
    if path[0] not in fields:
        raise ConfigError(f"override {change!r}: got no {path[0]!r}, expected one of {fields}")
    inner = getattr(node, path[0])
    if len(path) > 1:
        _note(inner, tree.setdefault(path[0], {}), path[1:], value, change)
    elif dataclasses.is_dataclass(inner):
        raise ConfigError(f"override {change!r}: got {value!r} for a group, expected a field of it")
    else:
        tree[path[0]] = convert(typing.get_type_hints(type(node))[path[0]], value, f"override {change!r}")


def _changed(node: T, tree: dict[str, Any]) -> T:
    """Return `node` with all changes made at once, so that only what they make together has to be possible."""
    values = {
        name: _changed(getattr(node, name), value) if dataclasses.is_dataclass(getattr(node, name)) else value
        for name, value in tree.items()
    }
    return cast(T, dataclasses.replace(cast(Any, node), **values))
