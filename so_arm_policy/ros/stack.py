"""The stack as data: its nodes and their parameters. Launch files and `so-arm up` both start from here."""

from dataclasses import replace

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.bags.playback import read_names
from so_arm_policy.robot.description import load_robot
from so_arm_policy.ros.decisions import new_path
from so_arm_policy.ros.node_spec import NodeSpec, Value, node_spec
from so_arm_policy.ros.stack_arms import leader_nodes, robot_nodes
from so_arm_policy.ros.stack_cameras import camera_nodes
from so_arm_policy.ros.stack_options import StackOptions, resolved, sources


def stack(options: StackOptions) -> list[NodeSpec]:
    """Return the nodes to run here, in the order in which they are started. Raises ConfigError or BundleError."""
    options = resolved(options)
    robot = load_robot(options.description)
    # First, so that it hears how the others begin.
    specs = [recorder(options)] if options.record else []
    specs += [*robot_nodes(options, robot), *leader_nodes(options, robot)]
    specs += camera_nodes(options, robot)
    for source in sources(options):
        specs += _source_nodes(options, source)
    specs.append(_supervisor(options))
    if options.tf:
        specs.append(_description(options))
    names = read_names(options.remap, "remap")
    # What a spec renames by itself, as the simulated bus does, stays so.
    return _here(options, [replace(spec, remappings={**names, **spec.remappings}) for spec in specs])


def _source_nodes(options: StackOptions, source: str) -> list[NodeSpec]:
    given: dict[str, Value]
    if source == "system1":
        given = {"bundle": options.bundle, "provider": options.provider, "engine_cache": options.engine_cache}
        return [node_spec(options, name, name, given) for name in ("system2", "system1")]
    given = {"safety": options.safety} if source == "planner" else {}
    return [node_spec(options, source, source, given)]


def _supervisor(options: StackOptions) -> NodeSpec:
    given: dict[str, Value] = {
        "source": options.control_source,
        "safety": options.safety,
        "start_stopped": options.start_stopped,
        "decisions": options.decisions or new_path(),
    }
    return node_spec(options, "safety_supervisor", "safety_supervisor", given)


def recorder(options: StackOptions, name: str = "recorder", **given: Value) -> NodeSpec:
    """Return the node that records the stack, called `name`; `given` are more of its parameters."""
    return node_spec(options, name, "recorder", {"bag": options.bag, **given})


def tf_names(options: StackOptions) -> dict[str, str]:
    """Return how /tf is called: in a namespace its own, as two robots have frames of the same names."""
    return {f"/{name}": name for name in ("tf", "tf_static")} if options.namespace else {}


def _description(options: StackOptions) -> NodeSpec:
    return replace(node_spec(options, "description", "description", {}), remappings=tf_names(options))


def _here(options: StackOptions, specs: list[NodeSpec]) -> list[NodeSpec]:
    """Return those of `specs` that this machine is to run. Raises ConfigError for a node that is not among them."""
    known = [spec.name for spec in specs]
    for option, text in (("only", options.only), ("without", options.without)):
        if not text:
            continue
        named = [name.strip() for name in text.split(",")]
        unknown = [name for name in named if name not in known]
        if unknown:
            raise ConfigError(f"{option}: got {unknown}, expected some of {known}")
        specs = [spec for spec in specs if (spec.name in named) is (option == "only")]
        if not specs:
            raise ConfigError(f"{option}: got {text!r}, expected it to leave a node of {known}")
    return specs
