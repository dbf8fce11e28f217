"""The environment variables that ROS needs, so that nothing has to be sourced by hand.

Imports neither rclpy nor anything else of this package: it runs before them, and in processes without them.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

PACKAGE = "so_arm_policy"
# One NAME=VALUE a line: what was sourced when the virtual environment was built on an installed ROS 2.
RECORD = Path("share") / PACKAGE / "sourced_environment"
PATH_VARIABLES = ("AMENT_PREFIX_PATH", "LD_LIBRARY_PATH", "PYTHONPATH")
# No discovery beyond this machine; and no shared memory between processes: after a node was killed, those that had
# written to it go on writing where its successor does not read (github.com/eProsima/Fast-DDS/issues/5053).
DDS = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}
# What a person who set nothing gets: the above, and rendering without a screen.
DEFAULTS = {**DDS, "MUJOCO_GL": "egl"}
_STARTED_AGAIN = "_SO_ARM_POLICY_STARTED_AGAIN"


def ros_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a process that uses ROS: `base` (by default this process's) with what is missing.

    A variable that `base` sets keeps its value; search paths keep theirs behind the virtual environment's.
    Without a virtual environment that holds the package (a sourced workspace, or no ROS at all) only
    DEFAULTS are added.
    """
    environment = {**DEFAULTS, **(os.environ if base is None else base)}
    prefix = Path(sys.prefix)
    if not _is_ros_prefix(prefix):
        return environment
    recorded = _read_record(prefix / RECORD)
    own = {"AMENT_PREFIX_PATH": str(prefix), "LD_LIBRARY_PATH": str(prefix / "lib")}
    for name in PATH_VARIABLES:
        paths = _search_path(environment.get(name, ""), first=own.get(name, ""), last=recorded.get(name, ""))
        if paths:
            environment[name] = paths
    return environment


def prepare() -> None:
    """Give this process the environment that ROS needs; call it before rclpy or mujoco is imported.

    The dynamic linker and Python read their search paths only at the start, so where those change the
    process replaces itself, once, by the same command in the right environment.
    """
    before = dict(os.environ)
    after = ros_environment(before)
    linker_paths_change = any(before.get(n, "") != after.get(n, "") for n in ("LD_LIBRARY_PATH", "PYTHONPATH"))
    if linker_paths_change and _STARTED_AGAIN not in before:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, sys.orig_argv, {**after, _STARTED_AGAIN: "1"})
    os.environ.update(after)
    os.environ.pop(_STARTED_AGAIN, None)


def _is_ros_prefix(prefix: Path) -> bool:
    return (prefix / "share/ament_index/resource_index/packages" / PACKAGE).exists()


def _read_record(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    return {name: value for name, _, value in pairs}


def _search_path(current: str, *, first: str, last: str) -> str:
    """`current` unchanged, with the entries of `first` and `last` that it lacks before and behind it."""
    entries = _entries(current)
    before = [entry for entry in _entries(first) if entry not in entries]
    behind = [entry for entry in _entries(last) if entry not in entries and entry not in before]
    return os.pathsep.join([*before, *entries, *behind])


def _entries(paths: str) -> list[str]:
    return [entry for entry in paths.split(os.pathsep) if entry]
