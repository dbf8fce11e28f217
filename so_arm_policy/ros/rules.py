"""The rules of the supervisor, as a file has them: for the supervisor, and for who plans around what it forbids."""

from so_arm_policy.core.mapping import from_mapping
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.robot.description import load_yaml
from so_arm_policy.safety.config import SupervisorConfig


def read_rules(name: str) -> SupervisorConfig:
    """Return the rules in a shipped file (config) or at a path. Raises ConfigError."""
    path = find_shipped("config", name)
    return from_mapping(SupervisorConfig, load_yaml(path), str(path))
