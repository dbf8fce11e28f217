"""`pip install .`: the part without ROS. pyproject.toml says the rest; only the data files need code."""

from pathlib import Path

from setuptools import setup

SHARE = Path("share/so_arm_policy")


def data_files(*folders: str) -> list[tuple[str, list[str]]]:
    """Every file below the folders, in the same place below share/so_arm_policy."""
    files = sorted(path for folder in folders for path in Path(folder).rglob("*") if path.is_file())
    return [(str(SHARE / path.parent), [str(path)]) for path in files]


setup(data_files=data_files("config", "bundles", "urdf"))
