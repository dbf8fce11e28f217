"""LeRobot's own classes with a checkpoint's weights. lerobot is imported here, only when asked for, and nowhere else.

It lives in an environment of its own (docs/lerobot.md says how to make one), since it asks for an older torch.
"""

import importlib
import importlib.metadata
import importlib.util
import os
import sys
import types
import warnings
from pathlib import Path
from typing import Any

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.learn.lerobot_policies.folder import BUFFERS, Checkpoint

VERSION = "0.4."
CLASSES = {
    "act": ("act.modeling_act", "ACTPolicy"),
    "diffusion": ("diffusion.modeling_diffusion", "DiffusionPolicy"),
    "smolvla": ("smolvla.modeling_smolvla", "SmolVLAPolicy"),
}


def prepare() -> str:
    """Make lerobot importable and return its version. Raises ModuleNotFoundError and ConfigError.

    torchvision's newest release that lerobot allows was compiled for another torch: without its compiled operators,
    which no policy here uses, it loads. lerobot.policies would import every policy that it has, with what each needs.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # whatever a checkpoint names, nothing is fetched
    spec = importlib.util.find_spec("lerobot")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'lerobot'", name="lerobot")
    version = importlib.metadata.version("lerobot")
    if not version.startswith(VERSION):
        raise ConfigError(f"got lerobot {version}, expected {VERSION}x: its classes are what is exported")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            importlib.import_module("torchvision")
        except (ImportError, RuntimeError):
            for name in [name for name in sys.modules if name.startswith("torchvision")]:
                del sys.modules[name]
            sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
            importlib.import_module("torchvision")
    if "lerobot.policies" not in sys.modules:
        policies = types.ModuleType("lerobot.policies")
        policies.__path__ = [f"{spec.submodule_search_locations[0]}/policies"]
        sys.modules["lerobot.policies"] = policies
    return version


def part(module: str, name: str) -> Any:
    """Return what lerobot calls `name` in its module `module`."""
    return getattr(importlib.import_module(f"lerobot.{module}"), name)


def load_policy(checkpoint: Checkpoint, *, vlm: Path | None = None, steps: int | None = None) -> Any:
    """Return LeRobot's policy with the checkpoint's weights, in float32, ready to run.

    vlm: folder with the configuration and tokenizer of SmolVLA's language model, whose weights are the checkpoint's.
    steps: denoising steps, where not the checkpoint's own. Raises InputError, ConfigError.
    """
    module, name = CLASSES[checkpoint.kind]
    policy_class = part(f"policies.{module}", name)
    try:
        config = part("configs.policies", "PreTrainedConfig").from_pretrained(checkpoint.path, local_files_only=True)
        _settle(config, vlm, steps)
        policy = policy_class(config)
    except Exception as error:  # noqa: BLE001 - draccus, torch and transformers raise what they like for a wrong value
        text = str(error).strip().partition("\n")[0]
        raise InputError(f"{checkpoint.path}: got a configuration that lerobot refuses: {text}") from error
    _load(policy, checkpoint)
    return policy.float().eval()


def _settle(config: Any, vlm: Path | None, steps: int | None) -> None:
    """Take out of the configuration what would fetch weights, needs a GPU or only matters for training."""
    config.device = "cpu"
    for name, value in (("pretrained_backbone_weights", None), ("compile_model", False), ("load_vlm_weights", False)):
        if hasattr(config, name):
            setattr(config, name, value)
    if hasattr(config, "rtc_config"):
        config.rtc_config = None
    if vlm is not None:
        config.vlm_model_name = str(vlm)
    if steps is not None:
        setattr(config, "num_steps" if config.type == "smolvla" else "num_inference_steps", steps)


def _load(policy: Any, checkpoint: Checkpoint) -> None:
    from safetensors.torch import load_model  # noqa: PLC0415

    try:
        missing, unexpected = load_model(policy, checkpoint.weights, strict=False)
    except RuntimeError as error:
        text = " ".join(str(error).split())[:300]
        raise InputError(f"{checkpoint.weights}: got {text}, expected the weights that config.json says") from error
    unexpected = [name for name in unexpected if not name.startswith(BUFFERS)]
    if missing or unexpected:
        got = (
            f"{len(unexpected)} unknown tensors {sorted(unexpected)[:3]}, {len(missing)} missing {sorted(missing)[:3]}"
        )
        raise InputError(f"{checkpoint.weights}: got {got}, expected those of lerobot's {checkpoint.kind}")
