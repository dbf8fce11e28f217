"""Point the CMake exports of the ROS wheels in this virtual environment at its own Python and numpy.

The wheels' exported CMake files name the headers of the machine that built them. Running twice changes nothing.
"""

import re
import sys
import sysconfig
from pathlib import Path

import numpy as np

BUILDER = r"/opt/python/cp\d+-cp\d+"
REPAIRS = (
    (re.compile(BUILDER + r"/include/python3\.\d+"), sysconfig.get_paths()["include"]),
    (re.compile(BUILDER + r"/lib/python3\.\d+/site-packages/numpy/_?core/include"), np.get_include()),
)


def repair(text: str) -> str:
    """The text of one CMake file with this machine's include folders."""
    for pattern, folder in REPAIRS:
        text = pattern.sub(folder.replace("\\", r"\\"), text)
    return text


def main() -> int:
    """Repair every CMake file below share/ and say how many changed."""
    changed = 0
    for path in Path(sys.prefix, "share").rglob("*.cmake"):
        before = path.read_text()
        after = repair(before)
        if after != before:
            path.write_text(after)
            changed += 1
    sys.stdout.write(f"repaired {changed} CMake exports of the ROS wheels\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
