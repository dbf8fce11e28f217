"""Robot descriptions on disk: config/robots/<name>.yaml."""

from pathlib import Path
from typing import Any

import yaml

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.mapping import from_mapping
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.robot import RobotConfig


def load_yaml(path: Path) -> Any:
    """Read one YAML file. Raises ConfigError that names the file."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: got {error}, expected a readable YAML file") from error


def load_robot(name: str) -> RobotConfig:
    """Load a shipped robot by name (e.g. "so101") or any robot by the path of its YAML file. Raises ConfigError."""
    path = find_shipped("config/robots", name if Path(name).suffix else f"{name}.yaml")
    return from_mapping(RobotConfig, load_yaml(path), str(path))
