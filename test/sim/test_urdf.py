"""URDF and xacro say the same as the simulator and the robot's description."""

import argparse
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import mujoco
import numpy as np
import pytest
import xacro

from so_arm_policy.core.errors import ConfigError, ShapeError
from so_arm_policy.evaluate.urdf_command import configure, run
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.arm_links import link_name
from so_arm_policy.sim.model import OPTICAL, build_model
from so_arm_policy.sim.robot_tree import TOOL, forward, robot_tree
from so_arm_policy.sim.urdf import mesh_folder, rpy, urdf, xacro_macro

ROOT = Path(__file__).parents[2]
ROBOTS = ["so101", "so101_bimanual"]
TOP = """<robot name="{name}" xmlns:xacro="http://www.ros.org/wiki/xacro">
  <xacro:include filename="{macro}"/><link name="world"/>{arms}</robot>"""
ARM = '<xacro:so101 prefix="{0}" meshes="{1}"><origin xyz="{2} {3} {4}" rpy="0 0 {5}"/></xacro:so101>'


@pytest.fixture(scope="module", params=ROBOTS)
def robot(request):
    return load_robot(request.param)


@pytest.fixture(scope="module")
def model(robot):
    return build_model(robot)


def random_poses(robot, count=25):
    return np.random.default_rng(7).uniform(robot.lower, robot.upper, (count, len(robot.joints)))


class Urdf:
    """A URDF read back, on its own terms: rotations from roll, pitch and yaw, angles about axes."""

    def __init__(self, text):
        self.root = ElementTree.fromstring(text)
        self.joints = {j.find("child").get("link"): j for j in self.root.findall("joint")}
        self.links = {link.get("name"): link for link in self.root.findall("link")}

    def pose(self, link, angles):
        """T_world_link, (4, 4)."""
        if link == "world":
            return np.eye(4)
        joint = self.joints[link]
        T_parent = self.pose(joint.find("parent").get("link"), angles)
        x, y, z = np.eye(3)
        roll, pitch, yaw = numbers(joint.find("origin").get("rpy"))
        R = about(z, yaw) @ about(y, pitch) @ about(x, roll)
        if joint.get("type") == "revolute":
            R = R @ about(np.array(numbers(joint.find("axis").get("xyz"))), angles[joint.get("name")])
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = R, numbers(joint.find("origin").get("xyz"))
        return T_parent @ T


def numbers(text):
    return [float(v) for v in text.split()]


def about(axis, angle):
    """Rodrigues' formula."""
    x, y, z = axis / np.linalg.norm(axis)
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * (K @ K)


def processed(robot, meshes, folder):
    arms = "".join(ARM.format(a.prefix, meshes, *a.base_xyz, a.base_yaw) for a in robot.arms)
    text = TOP.format(name=robot.name, macro=ROOT / "urdf/so101.xacro", arms=arms)
    (folder / "top.xacro").write_text(text)
    return xacro.process_file(str(folder / "top.xacro")).toxml()


def test_rotations_turn_the_right_way():
    np.testing.assert_allclose(about(np.array([0.0, 0.0, 1.0]), np.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(about(np.array([1.0, 0.0, 0.0]), np.pi / 2) @ [0, 1, 0], [0, 0, 1], atol=1e-12)


def test_links_tool_and_cameras_are_where_the_simulator_has_them(robot, model):
    data, read, tree = mujoco.MjData(model), Urdf(urdf(robot, "")), robot_tree(robot)
    for q in random_poses(robot):
        data.qpos[[model.joint(n).qposadr[0] for n in robot.joint_names]] = q
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        angles, ours = dict(zip(robot.joint_names, q, strict=True)), forward(tree, robot, q)
        wanted = {}
        for arm in robot.arms:
            tool = data.site(f"{arm.prefix}gripperframe")
            wanted[arm.prefix + TOOL] = (tool.xpos, tool.xmat.reshape(3, 3))
            for body in (b for b in (data.body(i) for i in range(model.nbody)) if link_of(b, arm) in ours):
                wanted[link_of(body, arm)] = (body.xpos, body.xmat.reshape(3, 3))
        for camera in robot.cameras:
            found = data.camera(camera.name)
            wanted[camera.frame_id] = (found.xpos, found.xmat.reshape(3, 3) * OPTICAL)
        assert set(wanted) | {"world"} == set(ours) == set(read.links)
        for name, (position, rotation) in wanted.items():
            T = read.pose(name, angles)
            np.testing.assert_allclose(T[:3, 3], position, atol=1e-8)
            np.testing.assert_allclose(T[:3, :3], rotation, atol=1e-8)
            np.testing.assert_allclose(ours[name].position, position, atol=1e-8)
            np.testing.assert_allclose(ours[name].rotation, rotation, atol=1e-8)


def link_of(body, arm):
    return f"{arm.prefix}{link_name(body.name.removeprefix(arm.prefix))}_link" if arm.prefix in body.name else ""


def test_limits_are_those_of_the_description_and_masses_those_of_the_simulator(robot, model):
    read = Urdf(urdf(robot, ""))
    revolute = {j.get("name"): j for j in read.root.findall("joint") if j.get("type") == "revolute"}
    assert list(revolute) == list(robot.joint_names)
    for joint in robot.joints:
        limit = {k: float(v) for k, v in revolute[joint.name].find("limit").attrib.items()}
        effort = model.actuator(joint.name).forcerange[1]
        assert limit == {"lower": joint.lower, "upper": joint.upper, "velocity": joint.velocity, "effort": effort}
    for arm in robot.arms:
        for body in (model.body(i) for i in range(model.nbody)):
            link = read.links.get(link_of(body, arm))
            if link is not None:
                i = {k: float(v) for k, v in link.find("inertial/inertia").attrib.items()}
                full = [[i["ixx"], i["ixy"], i["ixz"]], [i["ixy"], i["iyy"], i["iyz"]], [i["ixz"], i["iyz"], i["izz"]]]
                assert float(link.find("inertial/mass").get("value")) == pytest.approx(body.mass[0])
                np.testing.assert_allclose(np.linalg.eigvalsh(full), np.sort(body.inertia), rtol=1e-3)


@pytest.mark.parametrize("meshes", ["", "package://my_robot/meshes"])
def test_the_macro_makes_the_same_arms(robot, meshes, tmp_path):
    ours, theirs = Urdf(urdf(robot, meshes)), Urdf(processed(robot, meshes, tmp_path))
    cameras = {c.frame_id for c in robot.cameras}
    assert set(theirs.links) == set(ours.links) - cameras
    for q in random_poses(robot, 3):
        angles = dict(zip(robot.joint_names, q, strict=True))
        for name in theirs.links:
            np.testing.assert_allclose(theirs.pose(name, angles), ours.pose(name, angles), atol=1e-12)
    kinds = [f"{role}/geometry/{kind}" for role in ("visual", "collision") for kind in ("mesh", "box")]
    for name, link in theirs.links.items():
        for kind in kinds:
            found, wanted = ([e.attrib for e in of.findall(kind)] for of in (link, ours.links[name]))
            assert sorted(map(str, found)) == sorted(map(str, wanted))
    limits = {n: j.find("limit").attrib for n, j in ours.joints.items() if j.find("limit") is not None}
    assert {n: j.find("limit").attrib for n, j in theirs.joints.items() if j.find("limit") is not None} == limits


def test_the_shipped_macro_is_what_the_command_writes():
    assert (ROOT / "urdf/so101.xacro").read_text() == xacro_macro(load_robot("so101"))


def test_every_drawing_exists_and_none_is_named_where_boxes_are_asked_for():
    robot = load_robot("so101")
    files = [m.get("filename") for m in Urdf(urdf(robot, mesh_folder())).root.iter("mesh")]
    assert len(files) > 10
    assert all(Path(f.removeprefix("file://")).is_file() for f in files)
    assert list(Urdf(urdf(robot, "")).root.iter("mesh")) == []


def test_upright_pitch_keeps_the_rotation():
    for roll in (-1.0, 0.3):
        R = about(np.array([0.0, 1.0, 0.0]), np.pi / 2) @ about(np.array([1.0, 0.0, 0.0]), roll)
        again, pitch, yaw = rpy(R)
        assert yaw == 0.0
        R_again = about(np.array([0.0, 1.0, 0.0]), pitch) @ about(np.array([1.0, 0.0, 0.0]), again)
        np.testing.assert_allclose(R_again, R, atol=1e-9)


def test_what_cannot_be_written_is_one_error(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    configure(parser)
    with pytest.raises(ConfigError, match="expected one without prefix"):
        run(parser.parse_args(["so101_bimanual", "--xacro"]))
    with pytest.raises(ConfigError, match="--out: got"):
        run(parser.parse_args(["--out", str(tmp_path / "no" / "file")]))
    with pytest.raises(ShapeError, match=r"got shape \(5,\), expected \(6,\)"):
        forward(robot_tree(load_robot("so101")), load_robot("so101"), np.zeros(5))
    assert run(parser.parse_args(["--meshes", "none", "--out", str(tmp_path / "a.urdf")])) == 0
    assert "wrote" in capsys.readouterr().out
