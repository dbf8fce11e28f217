"""What Isaac Sim is told: attributes and types that it has, and the same scene as MuJoCo's."""

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.mapping import to_mapping
from so_arm_policy.evaluate.isaac_command import configure, run
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.isaac import standalone
from so_arm_policy.sim.isaac.graph import Connection, Graph, Node, ros_graph
from so_arm_policy.sim.isaac.node_types import NODE_TYPES, TAGS, VERSIONS
from so_arm_policy.sim.isaac.scene import isaac_scene
from so_arm_policy.sim.model import OPTICAL, camera_in
from so_arm_policy.sim.robot_tree import forward, robot_tree
from so_arm_policy.sim.scene import EVERYTHING, random_scene
from so_arm_policy.sim.simulator import Simulator

ROBOT, TWO = load_robot("so101"), load_robot("so101_bimanual")
SCENE = random_scene(3, EVERYTHING)


@pytest.fixture(scope="module")
def told():
    return isaac_scene(ROBOT, SCENE)


def topics_of(graph):
    return {n.values["topicName"]: n for n in graph.nodes if "topicName" in n.values}


def fed(graph, end):
    return [c.source for c in graph.connections if c.target == end]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("robot", [ROBOT, TWO], ids=lambda r: r.name)
def test_the_graph_has_the_topics_of_the_stack(robot, version):
    graph = ros_graph(robot, version, 120, "cell1")
    images = {f"{name}/{what}" for name in robot.camera_names for what in ("image_raw", "camera_info")}
    found = topics_of(graph)
    assert set(found) == {"clock", "joint_states", "joint_command", *images}
    assert {t for t, n in found.items() if n.values.get("nodeNamespace") != "cell1"} == {"clock"}
    for camera in robot.cameras:
        assert found[f"{camera.name}/image_raw"].values["frameId"] == camera.frame_id
        assert found[f"{camera.name}/image_raw"].values["frameSkipCount"] == 3
    assert fed(graph, "servos.positionCommand") == ["commands.positionCommand"]
    assert fed(graph, "servos.jointNames") == ["commands.jointNames"]
    for node in ("clock", "states"):
        assert fed(graph, f"{node}.timeStamp") == ["time.simulationTime"]
    # A command that waits in a queue is an old one.
    assert found["joint_command"].values["queueSize"] == 1


def test_joint_states_come_from_the_prim_in_5_and_from_a_node_of_their_own_in_6():
    five, six = (ros_graph(ROBOT, version, 120) for version in VERSIONS)
    states = {graph.version: topics_of(graph)["joint_states"] for graph in (five, six)}
    assert "targetPrim" in states[5].values
    assert "targetPrim" not in states[6].values
    assert fed(five, "states.execIn") == ["tick.tick"]
    assert fed(six, "states.execIn") == ["joints.execOut"]
    assert fed(six, "states.jointPositions") == ["joints.jointPositions"]
    assert "isaacsim.sensors.physics.IsaacReadJointState" not in NODE_TYPES[5]


def test_every_type_says_where_it_stands():
    for version, kinds in NODE_TYPES.items():
        assert all(f"/{TAGS[version]}/source/" in kind.source for kind in kinds.values())
        assert all(name == kind.name for name, kind in kinds.items())
        used = {node.type for node in ros_graph(ROBOT, version, 120).nodes}
        assert used == set(kinds)


CLOCK = Node(name="clock", type="isaacsim.ros2.bridge.ROS2PublishClock", values={})
TICK = Node(name="tick", type="omni.graph.action.OnPlaybackTick", values={})
RUN = Connection(source="tick.tick", target="clock.execIn")


@pytest.mark.parametrize(
    ("nodes", "links", "message"),
    [
        ([TICK, CLOCK], [], "clock is never run"),
        ([TICK, TICK], [], "expected different names"),
        ([Node(name="a", type="omni.isaac.ros2_bridge.ROS2PublishClock", values={})], [], "got a node 'omni.isaac"),
        ([Node(name="clock", type=CLOCK.type, values={"topic": "clock"})], [], "clock: got an input 'topic', expected"),
        (
            [Node(name="clock", type=CLOCK.type, values={"queueSize": -1})],
            [],
            "got -1, expected a constant",
        ),
        ([Node(name="clock", type=CLOCK.type, values={"timeStamp": math.nan})], [], "got nan, expected a constant"),
        ([TICK, CLOCK], [RUN, Connection(source="tick.tick", target="clock.timeStamp")], "types execution and double"),
        ([TICK, CLOCK], [RUN, RUN], "clock.execIn is set twice"),
        ([TICK, CLOCK], [Connection(source="tick.time", target="clock.execIn")], "tick: got output 'time', expected"),
        ([TICK, CLOCK], [Connection(source="tock.tick", target="clock.execIn")], "got a connection of 'tock'"),
    ],
)
def test_a_graph_that_isaac_sim_could_not_make_is_one_error(nodes, links, message):
    with pytest.raises(ConfigError, match=message):
        Graph(version=6, nodes=tuple(nodes), connections=tuple(links))


def test_attributes_that_came_with_6_are_refused_for_5():
    six = ros_graph(ROBOT, 6, 120)
    with pytest.raises(ConfigError, match="got a node 'isaacsim.sensors.physics.IsaacReadJointState'"):
        Graph(version=5, nodes=six.nodes, connections=six.connections)
    with pytest.raises(ConfigError, match="got version 4"):
        ros_graph(ROBOT, 4, 120)
    with pytest.raises(ConfigError, match="expected a multiple of 30"):
        ros_graph(ROBOT, 6, 100)


def test_things_stand_where_mujoco_has_them(told):
    simulator = Simulator(ROBOT, SCENE)
    model, data = simulator.model, simulator.data
    by_name = {part.name: part for part in told.parts}
    loose = [part for part in told.parts if part.mass_kg > 0.0]
    assert len(loose) == len(SCENE.objects)
    for part in loose:
        thing = SCENE.objects[int(part.name.removeprefix("object").partition("_")[0])]
        np.testing.assert_allclose(part.position[:2], (thing.x, thing.y), atol=1e-9)
        np.testing.assert_allclose(part.rgb, thing.rgb, atol=1e-6)
        assert part.kind == ("cylinder" if thing.kind == "can" else "box")
    for name, part in by_name.items():
        geom = int(name.rpartition("_")[2])
        turned = np.zeros(9)
        mujoco.mju_quat2Mat(turned, np.array(part.quaternion))
        np.testing.assert_allclose(turned, data.geom_xmat[geom], atol=1e-9)
        np.testing.assert_allclose(part.position, data.geom_xpos[geom], atol=1e-9)
    kinds = {name.partition("_")[0].rstrip("0123456789") for name in by_name}
    assert kinds == {"world", "object", "bowl", "plate"}
    assert [s.joint for s in told.servos] == list(ROBOT.joint_names)
    assert all(s.stiffness > 0 and s.damping > 0 and s.effort == 2.94 for s in told.servos)
    assert model.ngeom > len(told.parts)


def test_cameras_see_from_where_mujoco_s_do(told):
    simulator = Simulator(ROBOT, random_scene(0))
    frames = forward(robot_tree(ROBOT), ROBOT, ROBOT.home)
    for view in told.views:
        camera, parent = ROBOT.camera(view.name), frames[view.parent]
        local = np.zeros(9)
        mujoco.mju_quat2Mat(local, np.array(view.quaternion))
        wanted = camera_in(simulator.data, camera)
        np.testing.assert_allclose(parent.position + parent.rotation @ view.position, wanted.position, atol=1e-6)
        R = parent.rotation @ local.reshape(3, 3) * OPTICAL
        np.testing.assert_allclose(R, wanted.R_world_optical, atol=1e-6)
        across = math.tan(math.radians(view.fovx_deg) / 2) / math.tan(math.radians(camera.fovy_deg) / 2)
        assert across == pytest.approx(camera.width / camera.height)


def test_the_script_reads_what_the_command_wrote(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    configure(parser)
    assert run(parser.parse_args([str(tmp_path / "isaac"), "--task", "handover", "--seed", "4", "--rate", "60"])) == 0
    assert "standalone.py" in capsys.readouterr().out
    scene = standalone.read(tmp_path / "isaac")
    assert (scene["robot"], scene["rate_hz"], set(scene["graphs"])) == ("so101_bimanual", 60, {"5", "6"})
    assert (tmp_path / "isaac" / scene["urdf"]).is_file()
    prims = {"@articulation": "/World/robot/root"}
    prims |= {f"@camera/{view['name']}": f"/World/{view['name']}" for view in scene["views"]}
    for version in VERSIONS:
        graph = ros_graph(TWO, version, 60)
        edit = standalone.og_edit(scene["graphs"][str(version)], prims, Path)
        assert len(edit["CREATE_NODES"]) == len(graph.nodes)
        assert ("tick.outputs:tick", "clock.inputs:execIn") in edit["CONNECT"]
        assert ("servos.inputs:targetPrim", [Path("/World/robot/root")]) in edit["SET_VALUES"]
        assert "@" not in str(edit)
        assert to_mapping(graph) == scene["graphs"][str(version)]
    with pytest.raises(ConfigError, match="--seed: got -1"):
        run(parser.parse_args([str(tmp_path), "--seed", "-1"]))


def test_the_script_needs_nothing_but_isaac_sim(tmp_path):
    """In a Python without this project it reads the folder, and then misses Isaac Sim."""
    script = Path(standalone.__file__)
    (tmp_path / "isaac.json").write_text(json.dumps({"format": standalone.FORMAT}))
    command = [sys.executable, "-I", "-S", str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'isaacsim'"
    (tmp_path / "isaac.json").write_text("{}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "got another format than 1" in done.stderr
    assert "Traceback" not in done.stderr
