"""The message types that bags are written and read with: ROS's own and this package's, as installed here.

rosbags turns a definition into Python code and runs it. So no definition is ever taken from a bag: what is not known
here is passed over.
"""

import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from so_arm_policy.core.errors import InputError
from so_arm_policy.core.paths import share_dirs

PACKAGE = "so_arm_policy"
NAME = re.compile(r"([a-z][a-z0-9_]*)/msg/([A-Za-z][A-Za-z0-9]*)")
# Fields that bags of earlier versions do not have yet.
ADDED = {f"{PACKAGE}/msg/SupervisorTick": ("sequence",), f"{PACKAGE}/msg/SceneContext": ("novelty",)}
ENCAPSULATION = 4  # bytes before a serialised message that say how it is


@cache
def known_types() -> Typestore:
    """Return ROS's message types and this package's. Those of ROS are the same from Humble to Kilted."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for share in share_dirs():
        for path in sorted((share / "msg").glob("*.msg")):
            _register(store, f"{PACKAGE}/msg/{path.stem}", path)
    return store


def _register(store: Typestore, name: str, path: Path) -> None:
    if name not in store.fielddefs:
        store.register(get_types_from_msg(path.read_text(encoding="utf-8"), name))


@cache
def _earlier_types() -> Typestore:
    """Return the types of ADDED as they were, made from what is known here."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for name, added in ADDED.items():
        constants, fields = known_types().fielddefs[name]
        store.register({name: (constants, [field for field in fields if field[0] not in added])})
    return store


def is_known(name: str) -> bool:
    """Whether messages of type `name` can be read."""
    return name in known_types().fielddefs


def learn_installed(name: str) -> bool:
    """Make type `name` known from the definition that is installed with ROS; return whether it is known now."""
    store, match = known_types(), NAME.fullmatch(name)
    if name in store.fielddefs or match is None:
        return name in store.fielddefs
    package, kind = match.groups()
    prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    path = next((f for p in prefixes if (f := p / "share" / package / "msg" / f"{kind}.msg").is_file()), None)
    if path is None:
        return False
    found = get_types_from_msg(path.read_text(encoding="utf-8"), name)
    needed = {part for _, fields in found.values() for _, field in fields for part in _names(field)} - {name}
    if all(learn_installed(part) for part in needed):
        store.register(found)
    return name in store.fielddefs


def _names(field: Any) -> Iterable[str]:
    """Return the message types in one field's description of rosbags, however deep."""
    if isinstance(field, str):
        return [field] if NAME.fullmatch(field) else []
    if isinstance(field, tuple | list):
        return [name for part in field for name in _names(part)]
    return []


def definition(name: str) -> tuple[str, str]:
    """Return the text of a known type's definition, with all that it uses, and its REP 2016 hash. Raises InputError."""
    if not is_known(name):
        raise InputError(f"message type: got {name!r}, expected one that is installed here")
    store = known_types()
    return store.generate_msgdef(name, ros_version=2)[0], store.hash_rihs01(name)


def decoded(data: bytes | memoryview, name: str, earlier: bool = False) -> Any:
    """Return the message of known type `name` in CDR `data`. Raises InputError for data that is not one.

    earlier: of the type as it was before the fields of ADDED, which the message then lacks.
    """
    store = _earlier_types() if earlier else known_types()
    try:
        return store.deserialize_cdr(data, name)
    except Exception as error:  # noqa: BLE001 - from anywhere in a library, about bytes that may be anything
        raise InputError(f"{name}: got {type(error).__name__} ({error}) in {len(data)} bytes, expected one") from error


def decoded_of_any_version(data: bytes, name: str) -> Any:
    """Return the message as it is known here, or else as it was before; their sizes tell them apart. InputError."""
    try:
        return decoded(data, name)
    except InputError:
        if name not in ADDED:
            raise
        return decoded(data, name, earlier=True)


def encoded(message: Any, name: str) -> bytes:
    """Return `message` of type `name` in CDR."""
    return bytes(known_types().serialize_cdr(message, name))


def message(name: str, /, **values: Any) -> Any:
    """Return a message of known type `name`."""
    return known_types().types[name](**values)


def exact(data: bytes, name: str) -> bytes:
    """Return what of CDR `data` the message fills, where that is little-endian.

    rclpy's `serialize_message` returns all the room that Fast DDS asked for, up to a dozen bytes more where a list of
    doubles is empty, and strict readers refuse a bag for them.
    """
    store = known_types()
    layout = store.get_msgdef(name)
    if data[:2] != b"\x00\x01":
        return data
    _, end = layout.deserialize_cdr_le(memoryview(data)[ENCAPSULATION:], 0, layout.cls, store)
    return data[: ENCAPSULATION + end]
