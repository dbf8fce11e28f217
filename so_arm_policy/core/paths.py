"""Where the files that ship with the package lie: config/, bundles/, launch/."""

import os
import sys
from pathlib import Path

from so_arm_policy.core.errors import ConfigError

SOURCE_ROOT = Path(__file__).resolve().parents[2]


def share_dirs() -> list[Path]:
    """Return the folders that may hold shipped files, best first: source tree, ROS prefixes, this Python's prefix."""
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    installed = [Path(p) / "share" / "so_arm_policy" for p in [*prefixes, sys.prefix]]
    return [p for p in [SOURCE_ROOT, *installed] if (p / "config").is_dir()]


def find_shipped(kind: str, name: str) -> Path:
    """Return the path of shipped file or folder `name` of `kind` (e.g. "bundles"), or `name` itself where it is a path.

    Raises ConfigError that lists what there is.
    """
    if Path(name).exists():
        return Path(name)
    for share in share_dirs():
        if (share / kind / name).exists():
            return share / kind / name
    known = sorted({p.name for share in share_dirs() for p in (share / kind).glob("*")})
    raise ConfigError(f"{kind}: got {name!r}, expected a path or one of {known}")
