"""Unpacks bag files that were compressed as a whole, and never more than there is room for."""

import shutil
from pathlib import Path

from backports import zstd

from so_arm_policy.core.errors import InputError

SUFFIX = ".zstd"
PIECE = 1 << 20
# Joint states of a standing arm pack well; pictures never come near.
MOST_FOR_ONE, ALWAYS = 200, 1 << 30
LEFT_FREE = 1 << 30


def unpack(path: Path, folder: Path) -> tuple[Path, str]:
    """Write the content of `path`, a .zstd file, into `folder`.

    Returns:
        The unpacked file, and what was wrong with the end of `path`, or "": what comes before is there.

    Raises:
        InputError: More than 200 bytes for each packed one and more than 1 GiB, or less than 1 GiB left on the disk.
    """
    whole = folder / path.name.removesuffix(SUFFIX)
    most = max(ALWAYS, MOST_FOR_ONE * path.stat().st_size)
    with path.open("rb") as packed, whole.open("wb") as file:
        reader = zstd.ZstdFile(packed)
        while True:
            try:
                piece = reader.read(PIECE)
            except (zstd.ZstdError, EOFError) as error:
                return whole, f"compressed file cut off: {type(error).__name__}"
            if not piece:
                return whole, ""
            _refuse_too_much(path, file.tell() + len(piece), most, folder)
            file.write(piece)


def _refuse_too_much(path: Path, size: int, most: int, folder: Path) -> None:
    if size > most:
        raise InputError(f"bag {path}: got more than {most} bytes unpacked, expected at most that of such a file")
    if shutil.disk_usage(folder).free < LEFT_FREE:
        raise InputError(f"bag {path}: got a disk that is full after {size} bytes, expected 1 GiB left in {folder}")
