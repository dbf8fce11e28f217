"""Where bags go that were given no place."""

import os
from datetime import UTC, datetime
from pathlib import Path


def home() -> Path:
    """Return the folder of what the stack keeps: so_arm_policy in $ROS_HOME, or else in ~/.ros."""
    return (Path(os.environ.get("ROS_HOME", "~/.ros")) / "so_arm_policy").expanduser()


def new_bag(given: str = "") -> Path:
    """Return `given`, or a new place for a bag of now; where that is taken, a free name beside it."""
    path = Path(given).expanduser() if given else home() / "bags" / f"bag_{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}"
    count, free = 1, path
    while os.path.lexists(free):
        count += 1
        free = path.with_name(f"{path.name}-{count}")
    return free
