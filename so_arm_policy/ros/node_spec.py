"""One node as data: what a launch file, or `so-arm up`, starts as a process."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from so_arm_policy.ros.environment import ONE_THREAD
from so_arm_policy.ros.stack_options import StackOptions

PACKAGE = "so_arm_policy"
Value = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class NodeSpec:
    """One node: its name, the executable of this package that it is, and what it is given."""

    name: str
    executable: str
    parameters: Mapping[str, Value]
    remappings: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""
    env: Mapping[str, str] = field(default_factory=lambda: dict(ONE_THREAD))
    params_file: str = ""
    log_level: str = "info"

    def ros_arguments(self) -> list[str]:
        """Return the command-line arguments that give a process all of this."""
        arguments = ["--ros-args", "-r", f"__node:={self.name}"]
        if self.namespace:
            arguments += ["-r", f"__ns:=/{self.namespace.strip('/')}"]
        for before, after in self.remappings.items():
            arguments += ["-r", f"{before}:={after}"]
        for name, value in self.parameters.items():
            arguments += ["-p", f"{name}:={yaml_value(value)}"]
        if self.params_file:
            arguments += ["--params-file", self.params_file]
        return [*arguments, "--log-level", self.log_level]


def node_spec(
    options: StackOptions, name: str, executable: str, given: Mapping[str, Value], env: Mapping[str, str] = ONE_THREAD
) -> NodeSpec:
    """Return a node of the stack of `options`, with what each of them is given. given: parameters of its own."""
    return NodeSpec(
        name=name,
        executable=executable,
        parameters={"robot": options.description, "use_sim_time": options.use_sim_time, **given},
        namespace=options.namespace,
        env=dict(env),
        params_file=options.params_file,
        log_level=options.log_level,
    )


def yaml_value(value: Value) -> str:
    """Return a parameter value as the YAML that the ROS command line reads; text stays text, whatever it looks like."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    mantissa, exponent_mark, exponent = repr(value).partition("e")
    if exponent_mark and "." not in mantissa:
        mantissa += ".0"  # YAML takes 1e-09 for text
    return mantissa + exponent_mark + exponent
