"""Message classes by the names that the graph and bags give them."""

import importlib
from typing import Any

from so_arm_policy.evaluate.bags.types import NAME, learn_installed


def message_class(name: str) -> Any:
    """Return the class of message type `name`, None where it is not installed.

    Only what ROS has a definition of is imported: a name from a bag or from the network could be any module's.
    """
    match = NAME.fullmatch(name)
    if match is None or not learn_installed(name):
        return None
    try:
        return getattr(importlib.import_module(f"{match[1]}.msg"), match[2], None)
    except ImportError:
        return None
