"""What LeRobot itself makes of an observation: its pipelines and its policy, in torch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.learn.datasets.lerobot_format import STATE, read_json
from so_arm_policy.learn.lerobot_policies.folder import AFTER, BEFORE, Checkpoint
from so_arm_policy.learn.lerobot_policies.kinds import KINDS
from so_arm_policy.learn.lerobot_policies.loading import part
from so_arm_policy.learn.lerobot_policies.parts import JointFrame


@dataclass(frozen=True, kw_only=True)
class Seen:
    """An observation, or several: pictures (C, H, W, 3) uint8, states (history, n) rad, the oldest first."""

    images: npt.NDArray[np.uint8]
    states: FloatArray
    instruction: str
    noise: npt.NDArray[np.float32] | None


class Reference:
    """LeRobot's own output for an observation."""

    def __init__(self, policy: Any, checkpoint: Checkpoint, frame: JointFrame, keys: tuple[str, ...]) -> None:
        """keys: the checkpoint's columns of the cameras, in the order of the pictures."""
        self._policy, self._kind, self._frame, self._keys = policy, checkpoint.kind, frame, keys
        self._before, self._after = _piped(policy, checkpoint) if checkpoint.piped else _made(policy, checkpoint)

    def chunk(self, seen: Seen) -> FloatArray:
        """Return the chunk (H, n) rad, in the robot's order."""
        pictures = torch.from_numpy(seen.images).permute(0, 3, 1, 2).float() / 255.0  # as LeRobot's datasets give them
        observations = []
        for state in seen.states:
            theirs = ((state - self._frame.offset) / self._frame.scale)[self._frame.order]
            observation = {STATE: torch.tensor(theirs, dtype=torch.float32)}
            observation |= dict(zip(self._keys, pictures, strict=True))
            observations.append(self._before({**observation, "task": seen.instruction}))
        noise = None if seen.noise is None else torch.tensor(seen.noise)
        with torch.no_grad():
            said: Tensor = self._after(KINDS[self._kind].predict(self._policy, observations, noise))
        theirs = said[0].double().numpy()[:, list(self._frame.columns)]
        return np.asarray(theirs * self._frame.scale + self._frame.offset)


def _piped(policy: Any, checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Load the checkpoint's own pipelines."""
    pipeline = part("processor", "PolicyProcessorPipeline")
    before, after = (_step_names(checkpoint, name) for name in (BEFORE, AFTER))
    here: dict[str, dict[str, Any]] = {"device_processor": {"device": "cpu"}}
    if policy.config.type == "smolvla":
        here["tokenizer_processor"] = {"tokenizer_name": policy.config.vlm_model_name}
    return (
        pipeline.from_pretrained(
            str(checkpoint.path),
            config_filename=BEFORE,
            overrides={name: values for name, values in here.items() if name in before},
            to_transition=part("processor.converters", "batch_to_transition"),
            to_output=part("processor.converters", "transition_to_batch"),
        ),
        pipeline.from_pretrained(
            str(checkpoint.path),
            config_filename=AFTER,
            overrides={name: values for name, values in here.items() if name in after},
            to_transition=part("processor.converters", "policy_action_to_transition"),
            to_output=part("processor.converters", "transition_to_policy_action"),
        ),
    )


def _step_names(checkpoint: Checkpoint, name: str) -> list[str]:
    return [step["registry_name"] for step in read_json(checkpoint.path / name)["steps"]]


def _made(policy: Any, checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Let LeRobot make the pipelines of a checkpoint that has its normalisation among the weights."""
    make = part(
        f"policies.{checkpoint.kind}.processor_{checkpoint.kind}", f"make_{checkpoint.kind}_pre_post_processors"
    )
    before, after = make(policy.config, checkpoint.buffers())
    return before, after
