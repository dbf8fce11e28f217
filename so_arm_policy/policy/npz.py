"""Arrays from a file of a bundle, not trusted: no pickles, no archive that unpacks to more than allowed."""

import zipfile
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.errors import BundleError


def read_npz(data: bytes, file_name: str, wanted: Iterable[str], max_bytes: int) -> dict[str, npt.NDArray[Any]]:
    """Return the `wanted` arrays of an npz file by name. Raises BundleError on anything else than a file with these."""
    wanted = list(wanted)
    try:
        total = sum(info.file_size for info in zipfile.ZipFile(BytesIO(data)).infolist())
        if total > max_bytes:
            raise BundleError(f"{file_name}: got {total} bytes of arrays, expected at most {max_bytes}")
        with np.load(BytesIO(data), allow_pickle=False) as archive:
            missing = [name for name in wanted if name not in archive]
            if missing:
                raise BundleError(f"{file_name}: got {sorted(archive)}, expected also {missing}")
            return {name: archive[name] for name in wanted}
    except (OSError, ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, NotImplementedError) as error:
        raise BundleError(f"{file_name}: got {error}, expected a complete npz file") from error
