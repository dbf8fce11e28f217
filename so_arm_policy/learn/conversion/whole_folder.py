"""A folder that is whole or not there."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.datasets.arrow_files import PARTIAL, WriteError


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Give a folder to write into, which becomes `out` when the block ends well and is gone when it does not.

    Raises ConfigError when `out` exists, WriteError when it cannot be made.
    """
    if out.exists():
        raise ConfigError(f"{out}: got a name that exists, expected that of a new folder")
    partial = out.with_name(f"{out.name}.{os.getpid()}{PARTIAL}")
    try:
        _try(partial, lambda: partial.mkdir(parents=True))
        yield partial
        _try(out, lambda: partial.rename(out))
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _try(path: Path, action: Callable[[], object]) -> None:
    try:
        action()
    except OSError as error:
        raise WriteError(f"{path}: got {error.strerror or error}, expected to make it") from error
