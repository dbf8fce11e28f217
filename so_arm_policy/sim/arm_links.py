"""The links of one arm without anything else that its model has: how they hang together, and the corners of each."""

import itertools
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mujoco
import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.sim.arm_model import arm_xml, read_stl

WORLD = "world"
DIRECTIONS = 4_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Link:
    """One link and the joint that carries it, with all joints at zero.

    position, quaternion (w, x, y, z): of its frame in that of `parent`, (3,) m and (4,). joint, axis: name and (3,)
    direction through the link's origin; an empty name and zeros where it is fixed. joints: how many there are between
    it and the base. corners: of all its parts, (v, 3) m, in its own frame.
    """

    name: str
    parent: str
    position: FloatArray
    quaternion: FloatArray
    joint: str
    axis: FloatArray
    joints: int
    corners: FloatArray


@cache
def arm_links() -> tuple[Link, ...]:
    """Return the links from the base outwards; reading the drawings takes half a second. Raises ConfigError.

    Their corners are those of the full drawings and of the boxes and meshes that collide in the simulator. Neither is
    enough: the latter leave the base out and up to 15 mm of the others, and stick out of the drawings by up to 19 mm
    at the joints. The balls at the tips of the jaws are left out: they stick out of the rest by less than 0.5 mm.
    """
    # Not compiled: MuJoCo makes 300 MiB of the drawings, which only the hulls are wanted of.
    spec = mujoco.MjSpec.from_file(str(arm_xml()))
    files = {mesh.name: arm_xml().parent / "assets" / mesh.file for mesh in spec.meshes}
    links: list[Link] = []
    for body in spec.bodies:
        if body.name == WORLD:
            continue
        joint = body.joints[0] if body.joints else None
        before = next((link.joints for link in links if link.name == link_name(body.parent.name)), 0)
        links.append(
            Link(
                name=link_name(body.name),
                parent=link_name(body.parent.name),
                position=np.array(body.pos),
                quaternion=np.array(body.quat) / np.linalg.norm(body.quat),
                joint=joint.name if joint is not None else "",
                axis=np.array(joint.axis) if joint is not None else np.zeros(3),
                joints=before + (joint is not None),
                corners=_outermost(np.concatenate([_corners(geom, files) for geom in body.geoms])),
            )
        )
    return tuple(links)


def link_name(body: str) -> str:
    """Return the name of the link whose body is called `body` in the model."""
    return body.removesuffix("_so101_v1")


def _corners(geom: mujoco.MjsGeom, files: dict[str, Path]) -> FloatArray:
    """Return the corners of a mesh or a box in the frame of its body, (v, 3) m; none of another shape."""
    match geom.type:
        case mujoco.mjtGeom.mjGEOM_MESH:
            corners = np.unique(read_stl(files[geom.meshname]).reshape(-1, 3), axis=0)
        case mujoco.mjtGeom.mjGEOM_BOX:
            corners = geom.size * np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
        case _:
            return np.zeros((0, 3))
    quaternion, R_body_geom = np.array(geom.quat) / np.linalg.norm(geom.quat), np.zeros(9)
    if geom.alt.type == mujoco.mjtOrientation.mjORIENTATION_EULER:
        mujoco.mju_euler2Quat(quaternion, geom.alt.euler, "xyz")
    mujoco.mju_quat2Mat(R_body_geom, quaternion)
    return corners @ R_body_geom.reshape(3, 3).T + geom.pos


def _outermost(corners: FloatArray) -> FloatArray:
    """Return the corners (v, 3) that are the outermost in some of many directions: all that a hull is made of.

    Directions are 0.06 rad apart: the corners that none of them finds lie a fraction of a millimetre outside.
    """
    turns = np.arange(DIRECTIONS) + 0.5
    z = 1.0 - 2.0 * turns / DIRECTIONS
    angle = math.pi * (1.0 + math.sqrt(5.0)) * turns  # Fibonacci's lattice on the sphere
    r = np.sqrt(1.0 - z * z)
    directions = np.column_stack([r * np.cos(angle), r * np.sin(angle), z])
    light = corners.astype(np.float32)
    found = [
        (light @ part.T.astype(np.float32)).argmax(axis=0) for part in np.array_split(directions, DIRECTIONS // 50)
    ]
    return corners[np.unique(np.concatenate(found))]
