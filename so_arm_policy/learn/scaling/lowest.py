"""Keeps the weights of the lowest held-out loss: few demonstrations are learnt by heart long before a training ends."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from so_arm_policy.core.errors import InputError
from so_arm_policy.learn.families.expert import ActionExpert
from so_arm_policy.learn.lessons.action_batches import ActionBatch
from so_arm_policy.learn.scaling.grid import held_out_loss
from so_arm_policy.learn.train import ActionObjective, Drawn


class LowestLoss:
    """Looks at a training now and then (a Watch) and keeps the best averaged weights in `path`.

    losses: held-out loss by step. A training that goes on after it was killed finds them again, if it is the same one:
    `about` says which.
    """

    def __init__(self, path: Path, about: str, batches: Drawn[ActionBatch]) -> None:
        """batches: of episodes that are never trained on. Raises InputError for a file that cannot be read."""
        self._path, self._about, self._batches = path, about, batches
        found = self._read() if path.exists() else {}
        same = found.get("about") == about
        self.losses: dict[int, float] = found["losses"] if same else {}
        self._weights: dict[str, Any] = found["weights"] if same else {}

    @property
    def step(self) -> int:
        """The step whose weights are kept; of equals the first."""
        return min(self.losses, key=lambda step: (self.losses[step], step))

    def __call__(self, step: int, module: nn.Module) -> dict[str, float]:
        """Measure `module`; keep its weights where none were better."""
        assert isinstance(module, ActionObjective)
        loss = held_out_loss(module.expert, self._batches)
        self.losses[step] = loss
        if self.step == step:
            self._weights = {name: value.clone() for name, value in module.expert.state_dict().items()}
        self._write()
        return {"held_out_loss": loss}

    def restore(self, expert: ActionExpert) -> None:
        """Give `expert` the weights that are kept. Raises InputError where there are none."""
        if not self._weights:
            raise InputError(f"{self._path}: got no weights of this training, expected some; remove its folder")
        expert.load_state_dict(self._weights)

    def _read(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = torch.load(self._path, weights_only=True, map_location="cpu")
            return {name: found[name] for name in ("about", "losses", "weights")}
        except (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError, pickle.UnpicklingError) as error:
            first_line = str(error).partition("\n")[0]
            raise InputError(f"{self._path}: got {first_line}, expected the best weights; remove it") from error

    def _write(self) -> None:
        partial = self._path.with_suffix(f".{os.getpid()}.partial")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            torch.save({"about": self._about, "losses": self.losses, "weights": self._weights}, partial)
            partial.replace(self._path)
        except (OSError, RuntimeError) as error:
            partial.unlink(missing_ok=True)
            raise InputError(f"{self._path}: got {error}, expected room for the best weights") from error
