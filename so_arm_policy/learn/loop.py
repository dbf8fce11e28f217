"""One training loop: batches chosen by seed and step, cosine schedule, weight averaging, checkpoints to resume from.

Devices and processes are accelerate's: `accelerate launch --num_processes 4 ...` trains on four, each drawing batches
of its own.
"""

import dataclasses
import math
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.learn.optimisers import Optimisers, make_optimisers

B = TypeVar("B")
LOG_EVERY = 100
# What reading a file raises that is no checkpoint.
UNREADABLE = OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError, pickle.UnpicklingError


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """steps: batches, 0 to keep the weights; rate: peak learning rate after warmup steps; average: their mean's decay.

    watch_every: steps between looks from outside (closed-loop evaluation), 0 for none.
    """

    steps: int
    seed: int = 0
    rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: int = 200
    average: float = 0.998
    checkpoint_every: int = 500
    watch_every: int = 0

    def __post_init__(self) -> None:
        """Refuse schedules that do nothing."""
        if not (self.steps >= 0 and self.rate > 0.0 and 0.0 < self.average < 1.0 and self.checkpoint_every > 0):
            raise ConfigError(f"training: got {self}, expected steps of 0 or more, a positive rate and 0 < average < 1")
        if not (0.0 <= self.weight_decay < 1.0 and self.warmup >= 0 and self.watch_every >= 0 and self.seed >= 0):
            raise ConfigError(f"training: got {self}, expected 0 <= weight_decay < 1; warmup, watch_every, seed >= 0")


# Makes the batch of a step, for one process, from the seed and the step alone: so a killed run goes on to the same end.
Draw = Callable[[int, int], Any]
# Looks at the averaged module after a step.
Watch = Callable[[int, nn.Module], dict[str, float]]


@dataclass
class Effort:
    """What a training took until now, over all its runs: batches, seconds, and how many of these it waited for data."""

    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0


@dataclass(frozen=True)
class Fitted:
    """The module with averaged weights, and what it took."""

    module: nn.Module
    effort: Effort


def fit(
    objective: nn.Module,
    draw: Draw,
    config: LoopConfig,
    folder: Path,
    name: str,
    watch: Watch | None = None,
    about: object = "",
    muon: tuple[str, ...] = (),
) -> Fitted:
    """Train `objective` in place: a module that maps a batch to its loss and some figures.

    about: what else the weights follow from (sizes, batches, data); its text must be the same when a run goes on. muon:
    names of modules whose matrices are stepped by Muon, not AdamW.
    Checkpoints are `folder`/`name`.pt, figures for TensorBoard go to `folder`/tensorboard/`name`. Raises ConfigError
    when the checkpoint is of another config, InputError when it cannot be written or read.
    """
    accelerator = Accelerator()
    optimisers = make_optimisers(objective, config.rate, config.weight_decay, muon=muon)
    averaged = AveragedModel(objective, multi_avg_fn=get_ema_multi_avg_fn(config.average)).to(accelerator.device)
    checkpoint = folder / f"{name}.pt"
    identity = f"{config} {about}{f' Muon {muon}' if muon else ''}".strip()
    effort = _resume(checkpoint, identity, objective, averaged, optimisers)
    module = accelerator.prepare(objective)
    optimisers.parts = {name: accelerator.prepare(part) for name, part in optimisers.parts.items()}
    module.train()
    main = accelerator.is_main_process
    writer = SummaryWriter(str(folder / "tensorboard" / name), purge_step=effort.steps) if main else None
    bar = tqdm(total=config.steps, initial=effort.steps, mininterval=10.0, unit="step", disable=not main)
    for step in range(effort.steps, config.steps):
        began = time.monotonic()
        batch = on_device(draw(step, accelerator.process_index), accelerator.device)
        effort.waited += time.monotonic() - began
        figures = _descend(accelerator, module, optimisers, batch, step, config)
        averaged.update_parameters(accelerator.unwrap_model(module))
        effort.steps, effort.seconds = step + 1, effort.seconds + time.monotonic() - began
        bar.update()
        if writer is None:
            continue
        last = effort.steps == config.steps
        if effort.steps % LOG_EVERY == 0 or last:
            bar.set_postfix({key: f"{value:.4g}" for key, value in figures.items()})
            _write(writer, figures, effort.steps)
        if effort.steps % config.checkpoint_every == 0 or last:
            _save(checkpoint, effort, identity, accelerator.unwrap_model(module), averaged, optimisers)
        if watch and config.watch_every and (last or effort.steps % config.watch_every == 0):
            _write(writer, watch(effort.steps, averaged.module), effort.steps)
    if config.steps == 0 and main:
        _save(checkpoint, effort, identity, accelerator.unwrap_model(module), averaged, optimisers)
    bar.close()
    if writer:
        writer.close()
    return Fitted(averaged.module, effort)


def on_device(batch: B, device: torch.device) -> B:
    """Return `batch`, a dataclass of tensors, on `device`."""
    tensors = {f.name: getattr(batch, f.name).to(device) for f in dataclasses.fields(batch)}  # type: ignore[arg-type]
    return dataclasses.replace(batch, **tensors)  # type: ignore[type-var]


def _descend(
    accelerator: Accelerator,
    module: nn.Module,
    optimisers: Optimisers,
    batch: object,
    step: int,
    config: LoopConfig,
) -> dict[str, float]:
    """Take one step; return the figures of the batch."""
    optimisers.set_rate(config.rate * _schedule(step, config))
    torch.manual_seed(config.seed * 1_000_003 + step)
    value, figures = module(batch)
    if not torch.isfinite(value):
        raise InputError(
            f"training: got a loss of {float(value.detach())} at step {step}, expected a finite one; lower the rate"
        )
    optimisers.zero_grad()
    accelerator.backward(value)
    accelerator.clip_grad_norm_(module.parameters(), 1.0)
    optimisers.step()
    return {"loss": float(value.detach()), **{name: float(figure) for name, figure in figures.items()}}


def _schedule(step: int, config: LoopConfig) -> float:
    if step < config.warmup:
        return (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return 0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def _write(writer: SummaryWriter, figures: dict[str, float], step: int) -> None:
    for name, figure in figures.items():
        writer.add_scalar(name, figure, step)


def _save(
    path: Path,
    effort: Effort,
    identity: str,
    model: nn.Module,
    averaged: nn.Module,
    optimisers: Optimisers,
) -> None:
    state = {
        "effort": dataclasses.asdict(effort),
        "config": identity,
        "model": model.state_dict(),
        "averaged": averaged.state_dict(),
        **optimisers.state(),
    }
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"{path}: got {error}, expected room for a checkpoint") from error


def _resume(path: Path, identity: str, model: nn.Module, averaged: nn.Module, optimisers: Optimisers) -> Effort:
    if not path.exists():
        return Effort()
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        if state["config"] != identity:
            raise ConfigError(f"{path}: got a run of {state['config']}, expected {identity}; choose another --run")
        model.load_state_dict(state["model"])
        averaged.load_state_dict(state["averaged"])
        optimisers.restore(state)
        return Effort(**state["effort"])
    except ConfigError:
        raise
    except UNREADABLE as error:
        first_line = str(error).partition("\n")[0]
        raise InputError(f"{path}: got {first_line}, expected a checkpoint of this training") from error
