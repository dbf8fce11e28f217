"""The SO-101 arm as MuJoCo sees it: MuJoCo Menagerie's robotstudio_so101, with light visual meshes.

The model comes from the installed package `so101-nexus`, which ships Menagerie's files with their licence. Drawing
cost follows the number of triangles, so visual meshes are simplified by vertex clustering; collision parts, masses
and inertias stay exact.
"""

import importlib.util
from functools import cache
from pathlib import Path

import mujoco
import numpy as np
import numpy.typing as npt

from so_arm_policy.core.errors import ConfigError

CLUSTER_M = 0.0025
SERVO = "sts3215"  # what the materials of the black motors are called by


def arm_xml() -> Path:
    """Return the path of the arm's MJCF. Raises ConfigError where the model package is missing."""
    found = importlib.util.find_spec("so101_nexus")
    if found is None or not found.submodule_search_locations:
        raise ConfigError("arm model: package so101-nexus is not installed, expected it beside mujoco (see README)")
    path = Path(next(iter(found.submodule_search_locations))) / "assets" / "SO101_menagerie" / "so101.xml"
    if not path.is_file():
        raise ConfigError(f"arm model: {path} is missing, expected it in so101-nexus 0.10")
    return path


def arm_spec(shell: tuple[float, float, float, float] | None = None) -> mujoco.MjSpec:
    """Return a fresh, editable model of one arm with simplified visual meshes.

    shell: red, green, blue and opacity, 0..1, of all printed parts, by default the model's own yellow.
    """
    xml = arm_xml()
    spec = mujoco.MjSpec.from_file(str(xml))
    for material in spec.materials if shell else []:
        if not material.name.startswith(SERVO):
            material.rgba = shell
    for mesh in spec.meshes:
        if "gripper_part" in mesh.file:  # convex collision parts
            continue
        vertices, faces = simplified(xml.parent / "assets" / mesh.file)
        mesh.name = mesh.name or Path(mesh.file).stem
        mesh.file = ""
        mesh.uservert = vertices.ravel()
        mesh.userface = faces.ravel()
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    return spec


@cache
def simplified(path: Path, cell_m: float = CLUSTER_M) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]:
    """Read a binary STL and merge vertices that share a cell of a grid. Returns (v, 3) m and (f, 3).

    After Rossignac and Borrel, "Multi-resolution 3D approximations for rendering complex scenes", 1993.
    """
    corners = read_stl(path).reshape(-1, 3)
    cells = np.floor(corners / cell_m).astype(np.int64)
    _, first, index = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    index = index.reshape(-1)
    sums = np.zeros((len(first), 3))
    np.add.at(sums, index, corners)
    vertices = sums / np.bincount(index)[:, None]
    faces = index.reshape(-1, 3)
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (a != c)]
    return vertices, np.unique(faces, axis=0).astype(np.int32)


def read_stl(path: Path) -> npt.NDArray[np.float64]:
    """Return the triangles of a binary STL, (f, 3, 3) m. Raises ConfigError."""
    data = path.read_bytes()
    count = int.from_bytes(data[80:84], "little")
    if len(data) != 84 + 50 * count:
        raise ConfigError(f"{path}: got {len(data)} bytes, expected {84 + 50 * count} for {count} triangles")
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    return np.frombuffer(data, record, count, 84)["corners"].astype(np.float64)
