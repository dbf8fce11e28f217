"""The ROS 2 graph of Isaac Sim as data: checked here, where there is no Isaac Sim, before a script makes it there."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import CameraConfig, RobotConfig
from so_arm_policy.sim.isaac.node_types import NODE_TYPES, VERSIONS, NodeType

ARTICULATION = "@articulation"  # what the script puts prims in the place of
CAMERA = "@camera/"
Value = str | int | float | bool

_FITS: dict[str, Callable[[Value], bool]] = {
    "bool": lambda v: isinstance(v, bool),
    "double": lambda v: isinstance(v, float) and math.isfinite(v),
    "string": lambda v: isinstance(v, str),
    "token": lambda v: isinstance(v, str),
    "uchar": lambda v: type(v) is int and 0 <= v < 2**8,
    "uint": lambda v: type(v) is int and 0 <= v < 2**32,
    "uint64": lambda v: type(v) is int and 0 <= v < 2**64,
    "target": lambda v: isinstance(v, str) and v.startswith("@"),
}


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node: its name in the graph and its full type. values: input -> constant, a prim as `@...`."""

    name: str
    type: str
    values: dict[str, Value]


@dataclass(frozen=True, kw_only=True)
class Connection:
    """From an output to an input, each as NODE.ATTRIBUTE."""

    source: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Graph:
    """An action graph for one major version of Isaac Sim."""

    version: int
    nodes: tuple[Node, ...]
    connections: tuple[Connection, ...]

    def __post_init__(self) -> None:
        """Refuse nodes, attributes and types that this version does not have. Raises ConfigError."""
        if self.version not in VERSIONS:
            raise ConfigError(f"Isaac Sim: got version {self.version}, expected one of {list(VERSIONS)}")
        names = [node.name for node in self.nodes]
        if len(set(names)) != len(names):
            raise ConfigError(f"Isaac Sim: got nodes {names}, expected different names")
        for node in self.nodes:
            self._check_values(node)
        taken: set[str] = set()
        for connection in self.connections:
            self._check_connection(connection)
            if connection.target in taken or self._is_constant(connection.target):
                raise ConfigError(f"Isaac Sim: {connection.target} is set twice, expected once")
            taken.add(connection.target)
        for node in self.nodes:
            if "execIn" in self._type(node).inputs and f"{node.name}.execIn" not in taken:
                raise ConfigError(f"Isaac Sim: {node.name} is never run, expected a connection to its execIn")

    def _type(self, node: Node) -> NodeType:
        kinds = NODE_TYPES[self.version]
        if node.type not in kinds:
            raise ConfigError(f"Isaac Sim {self.version}: got a node {node.type!r}, expected one of {sorted(kinds)}")
        return kinds[node.type]

    def _check_values(self, node: Node) -> None:
        inputs = self._type(node).inputs
        for name, value in node.values.items():
            if name not in inputs:
                raise ConfigError(f"{node.name}: got an input {name!r}, expected one of {sorted(inputs)}")
            if inputs[name] not in _FITS or not _FITS[inputs[name]](value):
                raise ConfigError(f"{node.name}.{name}: got {value!r}, expected a constant of type {inputs[name]}")

    def _check_connection(self, connection: Connection) -> None:
        kinds = [self._end(connection.source, "outputs"), self._end(connection.target, "inputs")]
        if kinds[0] != kinds[1]:
            ends = f"{connection.source} -> {connection.target}"
            raise ConfigError(f"Isaac Sim: {ends}: got types {kinds[0]} and {kinds[1]}, expected one")

    def _end(self, end: str, side: str) -> str:
        node, attributes = self._attributes(end, side)
        name = end.partition(".")[2]
        if name not in attributes:
            raise ConfigError(f"{node}: got {side[:-1]} {name!r}, expected one of {sorted(attributes)}")
        return attributes[name]

    def _attributes(self, end: str, side: str) -> tuple[str, dict[str, str]]:
        name = end.partition(".")[0]
        node = next((node for node in self.nodes if node.name == name), None)
        if node is None:
            raise ConfigError(
                f"Isaac Sim: got a connection of {name!r}, expected one of {[n.name for n in self.nodes]}"
            )
        return name, dict(getattr(self._type(node), side))

    def _is_constant(self, end: str) -> bool:
        name, _, attribute = end.partition(".")
        return any(node.name == name and attribute in node.values for node in self.nodes)


def ros_graph(robot: RobotConfig, version: int, rate_hz: int, namespace: str = "") -> Graph:
    """Return the graph that says and hears what the stack does, `rate_hz` frames a second. Raises ConfigError.

    The newest command counts (queueSize 1): the default queue of 10 hands one of them on in each frame, the oldest.
    Time never goes back, whatever buttons are pressed (resetOnStop).
    """
    core, bridge = "isaacsim.core.nodes", "isaacsim.ros2.bridge"
    space: dict[str, Value] = {"nodeNamespace": namespace}
    nodes = [
        Node(name="tick", type="omni.graph.action.OnPlaybackTick", values={}),
        Node(name="time", type=f"{core}.IsaacReadSimulationTime", values={"resetOnStop": False}),
        Node(name="context", type=f"{bridge}.ROS2Context", values={"useDomainIDEnvVar": True}),
        Node(name="clock", type=f"{bridge}.ROS2PublishClock", values={"topicName": "clock"}),
        Node(
            name="states",
            type=f"{bridge}.ROS2PublishJointState",
            values={"topicName": "joint_states", **space, **({"targetPrim": ARTICULATION} if version == 5 else {})},
        ),
        Node(
            name="commands",
            type=f"{bridge}.ROS2SubscribeJointState",
            values={"topicName": "joint_command", "queueSize": 1, **space},
        ),
        Node(name="servos", type=f"{core}.IsaacArticulationController", values={"targetPrim": ARTICULATION}),
    ]
    links = [
        *((("tick.tick", f"{name}.execIn")) for name in ("clock", "commands", "servos")),
        *((("context.context", f"{name}.context")) for name in ("clock", "states", "commands")),
        *((("time.simulationTime", f"{name}.timeStamp")) for name in ("clock", "states")),
        *((f"commands.{name}", f"servos.{name}") for name in ("jointNames", "positionCommand")),
    ]
    if version == 5:
        links.append(("tick.tick", "states.execIn"))
    else:
        nodes.append(
            Node(name="joints", type="isaacsim.sensors.physics.IsaacReadJointState", values={"prim": ARTICULATION})
        )
        # Not its sensorTime, a float: after two hours that is half a millisecond coarse.
        read = ("Names", "Positions", "Velocities", "Efforts", "DofTypes")
        links += [("tick.tick", "joints.execIn"), ("joints.execOut", "states.execIn")]
        links += [(f"joints.joint{name}", f"states.joint{name}") for name in read]
        links.append(("joints.stageMetersPerUnit", "states.stageMetersPerUnit"))
    for camera in robot.cameras:
        more, ends = _camera(camera, rate_hz, space)
        nodes += more
        links += ends
    return Graph(
        version=version,
        nodes=tuple(nodes),
        connections=tuple(Connection(source=source, target=target) for source, target in links),
    )


def _camera(
    camera: CameraConfig, rate_hz: int, space: dict[str, Value]
) -> tuple[list[Node], Sequence[tuple[str, str]]]:
    skip = rate_hz / camera.fps - 1.0
    if not (skip >= 0.0 and abs(skip - round(skip)) < 1e-6):
        raise ConfigError(f"camera {camera.name!r}: got {rate_hz} frames a second, expected a multiple of {camera.fps}")
    common: dict[str, Value] = {
        "frameId": camera.frame_id,
        "frameSkipCount": round(skip),
        "resetSimulationTimeOnStop": False,
        "queueSize": 1,
        **space,
    }
    product, image, info = (f"{camera.name}_{part}" for part in ("product", "image", "info"))
    size: dict[str, Value] = {"width": camera.width, "height": camera.height, "cameraPrim": CAMERA + camera.name}
    bridge = "isaacsim.ros2.bridge"
    nodes = [
        Node(name=product, type="isaacsim.core.nodes.IsaacCreateRenderProduct", values=size),
        Node(
            name=image,
            type=f"{bridge}.ROS2CameraHelper",
            values={"topicName": f"{camera.name}/image_raw", "type": "rgb", **common},
        ),
        Node(
            name=info,
            type=f"{bridge}.ROS2CameraInfoHelper",
            values={"topicName": f"{camera.name}/camera_info", **common},
        ),
    ]
    ends = [("tick.tick", f"{product}.execIn")]
    for helper in (image, info):
        ends += [(f"{product}.execOut", f"{helper}.execIn"), ("context.context", f"{helper}.context")]
        ends.append((f"{product}.renderProductPath", f"{helper}.renderProductPath"))
    return nodes, ends
