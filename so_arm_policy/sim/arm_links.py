"""The links of one arm without anything else that its model has: how they hang together, and the corners of each."""

import itertools
from dataclasses import dataclass
from functools import cache

import mujoco
import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.sim.arm_model import arm_xml

WORLD = "world"


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
    model = mujoco.MjModel.from_xml_path(str(arm_xml()))
    links: list[Link] = []
    for number in range(1, model.nbody):
        body, parent = model.body(number), model.body(model.body_parentid[number])
        joint = model.joint(body.jntadr[0]) if body.jntnum[0] else None
        before = next((link.joints for link in links if link.name == _name(parent.name)), 0)
        shapes = [_corners(model, body.geomadr[0] + i) for i in range(body.geomnum[0])]
        links.append(
            Link(
                name=_name(body.name),
                parent=_name(parent.name),
                position=body.pos.copy(),
                quaternion=body.quat.copy(),
                joint=joint.name if joint is not None else "",
                axis=joint.axis.copy() if joint is not None else np.zeros(3),
                joints=before + (joint is not None),
                corners=np.concatenate(shapes),
            )
        )
    return tuple(links)


def _name(body: str) -> str:
    return body.removesuffix("_so101_v1")


def _corners(model: mujoco.MjModel, geom: int) -> FloatArray:
    """Return the corners of a mesh or a box in the frame of its body, (v, 3) m; none of another shape."""
    match model.geom_type[geom]:
        case mujoco.mjtGeom.mjGEOM_MESH:
            mesh = model.mesh(model.geom_dataid[geom])
            first = mesh.vertadr[0]
            corners = model.mesh_vert[first : first + mesh.vertnum[0]].astype(np.float64)
        case mujoco.mjtGeom.mjGEOM_BOX:
            corners = model.geom_size[geom] * np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
        case _:
            corners = np.zeros((0, 3))
    R_body_geom = np.zeros(9)
    mujoco.mju_quat2Mat(R_body_geom, model.geom_quat[geom])
    return corners @ R_body_geom.reshape(3, 3).T + model.geom_pos[geom]
