"""The families of System 1, by name. A new family is one file and one row here."""

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.families.act import ActConfig, ActExpert
from so_arm_policy.learn.families.autoregressive import AutoregressiveConfig, AutoregressiveExpert
from so_arm_policy.learn.families.diffusion import DiffusionConfig, DiffusionExpert
from so_arm_policy.learn.families.expert import ActionExpert, ExpertConfig
from so_arm_policy.learn.families.flow import FlowConfig, FlowExpert

FAMILIES: dict[str, tuple[type[ExpertConfig], type[ActionExpert]]] = {
    "act": (ActConfig, ActExpert),
    "flow": (FlowConfig, FlowExpert),
    "diffusion": (DiffusionConfig, DiffusionExpert),
    "autoregressive": (AutoregressiveConfig, AutoregressiveExpert),
}


def family_config(name: str) -> type[ExpertConfig]:
    """Return the sizes class of family `name`. Raises ConfigError that lists the families."""
    if name not in FAMILIES:
        raise ConfigError(f"family: got {name!r}, expected one of {list(FAMILIES)}")
    return FAMILIES[name][0]


def make_expert(config: ExpertConfig) -> ActionExpert:
    """Return a network of the family that `config` belongs to, with random weights."""
    for config_type, expert_type in FAMILIES.values():
        if type(config) is config_type:
            return expert_type(config)
    raise ConfigError(f"family: got {type(config).__name__}, expected one of {list(FAMILIES)}")
