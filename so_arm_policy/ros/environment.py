"""The environment variables that ROS needs, so that nothing has to be sourced by hand.

Imports nothing that needs ROS: it runs before that, and in processes without it.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from so_arm_policy.core.paths import share_dirs
from so_arm_policy.ros import signals

PACKAGE = "so_arm_policy"
# One NAME=VALUE a line: what was sourced when the virtual environment was built on an installed ROS 2.
RECORD = Path("share") / PACKAGE / "sourced_environment"
PATH_VARIABLES = ("AMENT_PREFIX_PATH", "LD_LIBRARY_PATH", "PYTHONPATH")
# What a person who set nothing gets: rendering without a screen, and DDS on this machine alone (`dds_environment`).
DEFAULTS = {"MUJOCO_GL": "egl"}
# One thread for each numeric library: their matrices are small, more threads only wait for each other, and sums would
# depend on the number of cores.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
PROFILES = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"  # of Fast DDS 2 and 3
_STARTED_AGAIN = "_SO_ARM_POLICY_STARTED_AGAIN"


def ros_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a process that uses ROS: `base` (by default this process's) with what is missing.

    A variable that `base` sets keeps its value; search paths keep theirs behind the virtual environment's.
    Without a virtual environment that holds the package (a sourced workspace, or no ROS at all) only
    DEFAULTS and what DDS needs are added.
    """
    environment = {**DEFAULTS, **(os.environ if base is None else base)}
    environment |= dds_environment(environment)
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


def dds_environment(base: Mapping[str, str]) -> dict[str, str]:
    """What keeps discovery on this machine, unless `base` says how far it goes.

    Fast DDS gets the profile config/fastdds_localhost.xml, which also says why; any other DDS, or one with a profile of
    its own, ROS's range LOCALHOST. That always adds shared memory to Fast DDS, so the profile wants the other range.
    """
    if RANGE in base:
        return {}
    file = next((share / "config" / "fastdds_localhost.xml" for share in share_dirs()), None)
    fast = "fastrtps" in base.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    if file is None or not file.exists() or not fast or any(name in base for name in PROFILES):
        return {RANGE: "LOCALHOST"}
    return {RANGE: "SYSTEM_DEFAULT", **dict.fromkeys(PROFILES, str(file))}


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


def bind_threads() -> None:
    """Let this process do its numerics on one thread, unless a person said otherwise; before numpy is imported."""
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)


def prepare_node() -> None:
    """As `prepare`, for the process of a node, which ends cleanly when a signal comes before it is one."""
    signals.end_at_once()
    prepare()


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
