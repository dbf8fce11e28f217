"""OmniGraph nodes of Isaac Sim that the graph uses: attributes and types by major version, and where that stands.

Read from the .ogn files of https://github.com/isaac-sim/IsaacSim at the tags v5.0.0 (v5.1.0 has the same) and v6.0.1.
OnPlaybackTick belongs to Kit, whose source is closed: its one attribute is as NVIDIA's own scripts use it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

REPOSITORY = "https://github.com/isaac-sim/IsaacSim/blob"
TAGS = {5: "v5.0.0", 6: "v6.0.1"}
VERSIONS = tuple(TAGS)


@dataclass(frozen=True, kw_only=True)
class NodeType:
    """A type of node: its full name, attribute -> OGN type of both sides, and the address of the file that says so."""

    name: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    source: str


_COMMON = {"context": "uint64", "nodeNamespace": "string", "topicName": "string", "queueSize": "uint64"}
_CAMERA = {
    **_COMMON,
    "execIn": "execution",
    "renderProductPath": "token",
    "frameId": "string",
    "frameSkipCount": "uint",
    "resetSimulationTimeOnStop": "bool",
}
_STATE = {
    "jointNames": "token[]",
    "jointPositions": "double[]",
    "jointVelocities": "double[]",
    "jointEfforts": "double[]",
    "jointDofTypes": "uchar[]",
    "stageMetersPerUnit": "float",
}
_TOPIC = {**_COMMON, "execIn": "execution"}
_PUBLISH_STATE = {**_TOPIC, "targetPrim": "target", "timeStamp": "double"}
_COMMAND = {
    "jointNames": "token[]",
    "positionCommand": "double[]",
    "velocityCommand": "double[]",
    "effortCommand": "double[]",
}
_CORE, _ROS_5, _ROS_6 = "isaacsim.core.nodes", "isaacsim.ros2.bridge", "isaacsim.ros2.nodes"
_SENSORS = "isaacsim.sensors.physics.nodes"


def _type(
    version: int, name: str, folder: str, inputs: Mapping[str, str], outputs: Mapping[str, str] | None = None
) -> NodeType:
    path = f"source/extensions/{folder}/Ogn{name.rpartition('.')[2]}.ogn"
    return NodeType(name=name, inputs=inputs, outputs=outputs or {}, source=f"{REPOSITORY}/{TAGS[version]}/{path}")


def _types(version: int) -> dict[str, NodeType]:
    """Return the types of one major version, by their full names, which have not changed with it."""
    ros = _ROS_5 if version == 5 else _ROS_6
    bridge = "isaacsim.ros2.bridge"
    found = [
        NodeType(
            name="omni.graph.action.OnPlaybackTick",
            inputs={},
            outputs={"tick": "execution"},
            source=f"{REPOSITORY}/{TAGS[version]}/source/standalone_examples/api/isaacsim.ros2.bridge/clock.py",
        ),
        _type(
            version,
            f"{_CORE}.IsaacReadSimulationTime",
            f"{_CORE}/nodes",
            {"resetOnStop": "bool"},
            {"simulationTime": "double"},
        ),
        _type(
            version,
            f"{_CORE}.IsaacArticulationController",
            f"{_CORE}/python/nodes",
            {"execIn": "execution", "targetPrim": "target", "robotPath": "string", "jointIndices": "int[]", **_COMMAND},
        ),
        _type(
            version,
            f"{_CORE}.IsaacCreateRenderProduct",
            f"{_CORE}/python/nodes",
            {"execIn": "execution", "width": "uint", "height": "uint", "cameraPrim": "target", "enabled": "bool"},
            {"execOut": "execution", "renderProductPath": "token"},
        ),
        _type(
            version,
            f"{bridge}.ROS2Context",
            f"{ros}/nodes",
            {"domain_id": "uchar", "useDomainIDEnvVar": "bool"},
            {"context": "uint64"},
        ),
        _type(version, f"{bridge}.ROS2PublishClock", f"{ros}/nodes", {**_TOPIC, "timeStamp": "double"}),
        _type(
            version,
            f"{bridge}.ROS2PublishJointState",
            f"{ros}/nodes",
            _PUBLISH_STATE if version == 5 else {**_PUBLISH_STATE, **_STATE, "sensorTime": "float"},
        ),
        _type(
            version,
            f"{bridge}.ROS2SubscribeJointState",
            f"{ros}/nodes",
            _TOPIC,
            {"execOut": "execution", "timeStamp": "double", **_COMMAND},
        ),
        _type(version, f"{bridge}.ROS2CameraHelper", f"{ros}/python/nodes", {**_CAMERA, "type": "token"}),
        _type(version, f"{bridge}.ROS2CameraInfoHelper", f"{ros}/python/nodes", _CAMERA),
    ]
    if version == 6:
        found.append(
            _type(
                version,
                "isaacsim.sensors.physics.IsaacReadJointState",
                f"{_SENSORS}/nodes",
                {"execIn": "execution", "prim": "target"},
                {"execOut": "execution", "sensorTime": "float", **_STATE},
            )
        )
    return {kind.name: kind for kind in found}


NODE_TYPES: dict[int, dict[str, NodeType]] = {version: _types(version) for version in VERSIONS}
