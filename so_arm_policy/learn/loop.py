"""One training loop: batches chosen by seed and step, cosine schedule, weight averaging, checkpoints to resume from."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from so_arm_policy.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """steps: batches; rate: peak learning rate after warmup steps; average: decay of the averaged weights."""

    steps: int
    seed: int = 0
    rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: int = 200
    average: float = 0.998
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        """Refuse schedules that do nothing."""
        if not (self.steps > 0 and self.rate > 0.0 and 0.0 < self.average < 1.0 and self.checkpoint_every > 0):
            raise ConfigError(f"training: got {self}, expected positive steps and rate and 0 < average < 1")


Loss = Callable[[int], tuple[Tensor, dict[str, float]]]


def fit(model: nn.Module, loss: Loss, config: LoopConfig, checkpoint: Path) -> nn.Module:
    """Train `model` in place; return the module with averaged weights.

    loss(step) makes the batch of that step from the seed alone, so that a killed run goes on to the same result.
    """
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=config.rate, weight_decay=config.weight_decay, betas=(0.9, 0.99)
    )
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.average))
    done = _resume(checkpoint, config, model, averaged, optimiser)
    model.train()
    bar = tqdm(range(done, config.steps), initial=done, total=config.steps, mininterval=10.0, unit="step")
    for step in bar:
        for group in optimiser.param_groups:
            group["lr"] = config.rate * _schedule(step, config)
        torch.manual_seed(config.seed * 1_000_003 + step)
        value, metrics = loss(step)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        averaged.update_parameters(model)
        if (step + 1) % 100 == 0:
            bar.set_postfix({name: f"{m:.4g}" for name, m in metrics.items()})
        if (step + 1) % config.checkpoint_every == 0 or step + 1 == config.steps:
            _save(
                checkpoint,
                {
                    "step": step + 1,
                    "config": str(config),
                    "model": model.state_dict(),
                    "averaged": averaged.state_dict(),
                    "optimiser": optimiser.state_dict(),
                },
            )
    return averaged.module


def _schedule(step: int, config: LoopConfig) -> float:
    if step < config.warmup:
        return (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return 0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def _save(path: Path, state: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    torch.save(state, partial)
    partial.replace(path)


def _resume(
    path: Path, config: LoopConfig, model: nn.Module, averaged: nn.Module, optimiser: torch.optim.Optimizer
) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    if state["config"] != str(config):
        raise ConfigError(f"{path}: got a run of {state['config']}, expected {config}; choose another --out")
    model.load_state_dict(state["model"])
    averaged.load_state_dict(state["averaged"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])
