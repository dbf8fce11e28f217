"""The robot as URDF, and one arm as a xacro macro, both written from the same frames (sim/robot_tree.py)."""

import math
from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import JointConfig, RobotConfig
from so_arm_policy.sim.arm_links import WORLD
from so_arm_policy.sim.arm_model import arm_xml
from so_arm_policy.sim.robot_tree import Frame, Joint, Mass, Pose, Shape, arm_frames, robot_tree

XACRO = "http://www.ros.org/wiki/xacro"
GENERATED = " Written by `so-arm urdf`; do not edit: see docs/description.md. "
MACRO = "so101"


def mesh_folder() -> str:
    """Return where the drawings are on this machine, as the beginning of their addresses. Raises ConfigError."""
    return (arm_xml().parent / "assets").as_uri()


def urdf(robot: RobotConfig, meshes: str) -> str:
    """Return the URDF of `robot`, with the frame `world` at its root. Raises ConfigError.

    meshes: what the addresses of the drawings begin with, e.g. `package://my_robot/meshes`; empty: boxes.
    """
    root = Element("robot", name=robot.name)
    root.append(ElementTree.Comment(GENERATED))
    SubElement(root, "link", name=WORLD)
    limits = {joint.name: joint for joint in robot.joints}
    for frame in robot_tree(robot):
        _add_frame(root, frame, limits[frame.joint.name] if frame.joint else None, meshes)
    return _text(root)


def xacro_macro(robot: RobotConfig) -> str:
    """Return the macro `so101` of one arm like that of `robot`: prefix, parent link, meshes, and its place as origin.

    Raises ConfigError for a robot of more than one arm.
    """
    if [arm.prefix for arm in robot.arms] != [""]:
        raise ConfigError(f"xacro: got robot {robot.name!r} with {len(robot.arms)} arms, expected one without prefix")
    ElementTree.register_namespace("xacro", XACRO)
    root = Element("robot")
    root.append(ElementTree.Comment(GENERATED))
    macro = SubElement(root, f"{{{XACRO}}}macro", name=MACRO, params="prefix:='' parent:=world meshes:='' *origin")
    limits = {joint.name: joint for joint in robot.joints}
    stand = SubElement(macro, "joint", name="${prefix}base_link_joint", type="fixed")
    SubElement(stand, f"{{{XACRO}}}insert_block", name="origin")
    SubElement(stand, "parent", link="${parent}")
    SubElement(stand, "child", link="${prefix}base_link")
    for frame in arm_frames():
        limit = limits[frame.joint.name] if frame.joint else None
        _add_frame(macro, _prefixed(frame), limit, "${meshes}", stands=frame.parent != WORLD)
    _choose_meshes(macro)
    return _text(root)


def _prefixed(frame: Frame) -> Frame:
    joint = frame.joint and Joint(**{**vars(frame.joint), "name": "${prefix}" + frame.joint.name})
    names = {"name": "${prefix}" + frame.name, "parent": "${prefix}" + frame.parent}
    return Frame(**{**vars(frame), **names, "joint": joint})


def _choose_meshes(macro: Element) -> None:
    """Let the macro draw and feel meshes where it is told of some, and draw boxes otherwise."""
    for link in macro.iter("link"):
        for part in list(link):
            if part.tag not in ("visual", "collision") or part.find("geometry/mesh") is None:
                continue
            place = list(link).index(part)
            link.remove(part)
            condition = Element(f"{{{XACRO}}}if", value="${meshes != ''}")
            condition.append(part)
            link.insert(place, condition)
        boxes = [part for part in link.findall("collision") if part.find("geometry/box") is not None]
        if boxes:
            condition = SubElement(link, f"{{{XACRO}}}if", value="${meshes == ''}")
            for box in boxes:
                visual = SubElement(condition, "visual")
                visual.extend(list(box))


def _add_frame(parent: Element, frame: Frame, limit: JointConfig | None, meshes: str, stands: bool = True) -> None:
    """Add a link and, where it `stands` on another, the joint to that. limit: of that joint, None where it is fixed."""
    link = SubElement(parent, "link", name=frame.name)
    if frame.mass is not None:
        _add_mass(link, frame.mass)
    for shape in frame.shapes:
        if shape.mesh is None or meshes:
            _add_shape(link, shape, meshes, "collision" if shape.collides else "visual")
        if shape.mesh is None and not meshes:
            _add_shape(link, shape, meshes, "visual")
    if not stands:
        return
    joint = frame.joint
    name, kind = (f"{frame.name}_joint", "fixed") if joint is None else (joint.name, "revolute")
    element = SubElement(parent, "joint", name=name, type=kind)
    SubElement(element, "parent", link=frame.parent)
    SubElement(element, "child", link=frame.name)
    _add_origin(element, frame.pose)
    if joint is not None:
        assert limit is not None
        SubElement(element, "axis", xyz=_numbers(joint.axis))
        bounds = {"lower": limit.lower, "upper": limit.upper, "velocity": limit.velocity, "effort": joint.effort}
        SubElement(element, "limit", {k: _number(v) for k, v in bounds.items()})
        SubElement(element, "dynamics", damping=_number(joint.damping), friction=_number(joint.friction))


def _add_mass(link: Element, mass: Mass) -> None:
    inertial = SubElement(link, "inertial")
    SubElement(inertial, "origin", xyz=_numbers(mass.center), rpy="0 0 0")
    SubElement(inertial, "mass", value=_number(mass.kg))
    i = mass.inertia
    moments = {"ixx": i[0, 0], "ixy": i[0, 1], "ixz": i[0, 2], "iyy": i[1, 1], "iyz": i[1, 2], "izz": i[2, 2]}
    SubElement(inertial, "inertia", {k: _number(v) for k, v in moments.items()})


def _add_shape(link: Element, shape: Shape, meshes: str, role: str) -> None:
    part = SubElement(link, role)
    _add_origin(part, shape.pose)
    geometry = SubElement(part, "geometry")
    if shape.mesh is None:
        SubElement(geometry, "box", size=_numbers(shape.size))
    else:
        SubElement(geometry, "mesh", filename=f"{meshes.rstrip('/')}/{shape.mesh.name}")
    if role == "visual":
        # A material is known by its name in the whole file, so those of one name must be of one colour.
        material = SubElement(part, "material", name="rgba_" + "_".join(f"{round(255 * v):02x}" for v in shape.rgba))
        SubElement(material, "color", rgba=_numbers([round(v, 4) for v in shape.rgba]))


def _add_origin(parent: Element, pose: Pose) -> None:
    SubElement(parent, "origin", xyz=_numbers(pose.position), rpy=_numbers(rpy(pose.rotation)))


def rpy(rotation: FloatArray) -> tuple[float, float, float]:
    """Return roll, pitch and yaw of a rotation (3, 3) about fixed x, y and z, rad; no yaw where it is upright."""
    pitch = math.atan2(-rotation[2, 0], math.hypot(rotation[0, 0], rotation[1, 0]))
    if math.hypot(rotation[0, 0], rotation[1, 0]) < 1e-9:
        return math.atan2(-rotation[1, 2], rotation[1, 1]), pitch, 0.0
    return (
        math.atan2(rotation[2, 1], rotation[2, 2]),
        pitch,
        math.atan2(rotation[1, 0], rotation[0, 0]),
    )


def _numbers(values: Sequence[float] | FloatArray) -> str:
    return " ".join(_number(v) for v in values)


def _number(value: float) -> str:
    return f"{value if abs(value) > 1e-15 else 0.0:.12g}"


def _text(root: Element) -> str:
    ElementTree.indent(root)
    return f'<?xml version="1.0"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'
