"""What turns gradients into steps: AdamW, or Muon for the matrices of a transformer's blocks and AdamW for the rest."""

from typing import Any

import torch
from torch import nn


class Optimisers:
    """One or more optimisers that step together."""

    def __init__(self, parts: dict[str, torch.optim.Optimizer]) -> None:
        """parts: by the names under which their states are kept."""
        self.parts = parts

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of all."""
        for part in self.parts.values():
            for group in part.param_groups:
                group["lr"] = rate

    def step(self) -> None:
        """Take one step."""
        for part in self.parts.values():
            part.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts.values():
            part.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from an earlier `state`."""
        for name, part in self.parts.items():
            part.load_state_dict(state[name])


def make_optimisers(module: nn.Module, rate: float, weight_decay: float, *, muon: tuple[str, ...] = ()) -> Optimisers:
    """Return optimisers of all parameters of `module`.

    muon: names of modules whose matrices Muon steps, with a rate that suits AdamW: Jordan et al., "Muon: an optimizer
    for hidden layers in neural networks", 2024; Liu et al., "Muon is scalable for LLM training", 2025.
    """
    inside = [p for name, p in module.named_parameters() if p.ndim == 2 and set(muon) & set(name.split("."))]
    chosen = {id(p) for p in inside}
    rest = [p for p in module.parameters() if id(p) not in chosen]
    parts: dict[str, torch.optim.Optimizer] = {
        "optimiser": torch.optim.AdamW(rest, lr=rate, weight_decay=weight_decay, betas=(0.9, 0.99))
    }
    if inside:
        parts["muon"] = torch.optim.Muon(inside, lr=rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
    return Optimisers(parts)
