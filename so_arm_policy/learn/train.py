"""The recipe: System 2 learns to find what the instruction means, then System 1 learns to move there."""

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.learn.demonstrations import ActionBatch, ActionBatches, Demonstrations, SceneBatch, SceneBatches
from so_arm_policy.learn.flow import FlowConfig, FlowExpert
from so_arm_policy.learn.loop import LoopConfig, fit
from so_arm_policy.learn.scene_encoder import SceneEncoder, SceneEncoderConfig
from so_arm_policy.policy.tokenizer import Tokenizer

M = TypeVar("M", bound=nn.Module)
log = logging.getLogger(__name__)
HELD_OUT = 100  # episodes never trained on, for the figures of the log; of a small set a tenth


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training. scene: loop of System 2; action: loop of System 1; batch sizes in pictures and in states."""

    seed: int = 0
    scene: LoopConfig = field(default_factory=lambda: LoopConfig(steps=4000, rate=1e-3))
    action: LoopConfig = field(default_factory=lambda: LoopConfig(steps=6000, rate=1.5e-3))
    scene_batch: int = 32
    action_batch: int = 128
    encoder: SceneEncoderConfig = field(default_factory=SceneEncoderConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)

    def __post_init__(self) -> None:
        """Refuse parts that do not fit each other."""
        if self.flow.context_tokens != self.encoder.context_tokens or self.flow.context_width != self.encoder.width:
            raise ConfigError(
                f"training: got a flow for {self.flow.context_tokens} context tokens of {self.flow.context_width}, "
                f"expected {self.encoder.context_tokens} of {self.encoder.width}"
            )


@dataclass(frozen=True)
class Trained:
    """The two networks with averaged weights, and the figures of the log."""

    encoder: SceneEncoder
    flow: FlowExpert
    summary: dict[str, Any]


def train(config: TrainConfig, data: Demonstrations, robot: RobotConfig, tokenizer: Tokenizer, run: Path) -> Trained:
    """Train both systems; checkpoints in `run` let a killed run go on."""
    if data.episodes < 10:
        raise InputError(f"demonstrations: got {data.episodes} episodes, expected at least 10")
    training, held_out = data.split(min(HELD_OUT, data.episodes // 10))
    camera = robot.camera("overhead")
    began = time.monotonic()
    batches, checks = (SceneBatches(d, tokenizer, camera, config.encoder.grid) for d in (training, held_out))
    encoder = train_scene(config, batches, run)
    summary: dict[str, Any] = {"scene": check_scene(encoder, checks), "scene_minutes": _minutes(began)}
    log.info("system 2: %s", summary)
    began = time.monotonic()
    flow = train_action(config, encoder, training, batches, run)
    check = ActionBatches(held_out, context_tokens(encoder, held_out, checks), config.flow.horizon, config.flow.prefix)
    summary |= {"action": check_action(flow, check), "action_minutes": _minutes(began)}
    log.info("system 1: %s", summary)
    return Trained(encoder, flow, summary)


def train_scene(config: TrainConfig, batches: SceneBatches, run: Path) -> SceneEncoder:
    """Train System 2 to point at, and place, the object each instruction means."""
    torch.manual_seed(config.seed)
    encoder = SceneEncoder(config.encoder)

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        batch = batches.draw(np.random.default_rng([config.seed, 1, step]), config.scene_batch)
        place, pointing, error = _scene_losses(encoder, batch)
        return place + 0.1 * pointing, {
            "mm": float(error.detach().median()) * 1e3,
            "pointing": float(pointing.detach()),
        }

    averaged = fit(encoder, loss, config.scene, run / "scene.pt")
    return _frozen(averaged, SceneEncoder)


def _scene_losses(encoder: SceneEncoder, batch: SceneBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss of the place, of the pointer, and the distances in the table plane (B * K,) m."""
    features = encoder(batch.images, batch.words, batch.state)
    place = functional.smooth_l1_loss(features.grounding / encoder.scale, batch.place / encoder.scale, beta=0.1)
    pointing = functional.cross_entropy(features.pointer, batch.patch)
    return place, pointing, (features.grounding - batch.place)[:, :2].norm(dim=-1)


@torch.no_grad()
def check_scene(encoder: SceneEncoder, batches: SceneBatches, pictures: int = 500) -> dict[str, float]:
    """Return the error of the place on held-out scenes, mm."""
    rng = np.random.default_rng(1)
    errors = torch.cat([_scene_losses(encoder, batches.draw(rng, 50))[2] for _ in range(pictures // 50)]) * 1e3
    names = {"median_mm": 0.5, "p90_mm": 0.9, "p99_mm": 0.99}
    return {name: round(float(errors.quantile(q)), 2) for name, q in names.items()}


@torch.no_grad()
def context_tokens(encoder: SceneEncoder, data: Demonstrations, batches: SceneBatches) -> Tensor:
    """Return System 2's tokens for every picture and cube, (E, F, K, N, d) float16; the phrase is random."""
    rng = np.random.default_rng(2)
    out = []
    frames = np.arange(data.frames)
    for episode in range(data.episodes):
        phrases = rng.integers(batches.words.shape[2], size=(data.frames, data.cubes))
        batch = batches.at(np.full_like(frames, episode), frames, phrases)
        tokens = encoder(batch.images, batch.words, batch.state).tokens
        out.append(tokens.reshape(data.frames, data.cubes, *tokens.shape[1:]).half())
    return torch.stack(out)


def train_action(
    config: TrainConfig, encoder: SceneEncoder, data: Demonstrations, batches: SceneBatches, run: Path
) -> FlowExpert:
    """Train System 1 on contexts of all ages and states on and off the expert's way."""
    torch.manual_seed(config.seed + 1)
    flow = FlowExpert(config.flow)
    source = ActionBatches(data, context_tokens(encoder, data, batches), config.flow.horizon, config.flow.prefix)
    sample = source.draw(np.random.default_rng([config.seed, 3]), 4096)
    flow.set_normalisation(*data.normalisation(), sample.positions)

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        batch = source.draw(np.random.default_rng([config.seed, 2, step]), config.action_batch)
        value = flow.loss(batch.positions, flow.project(batch.context), batch.state)
        return value, {"loss": float(value.detach())}

    return _frozen(fit(flow, loss, config.action, run / "action.pt"), FlowExpert)


@torch.no_grad()
def check_action(flow: FlowExpert, batches: ActionBatches) -> dict[str, float]:
    """Return the error of whole chunks made from noise on held-out scenes, mrad."""
    batch: ActionBatch = batches.draw(np.random.default_rng(3), 1000)
    noise = torch.randn(batch.positions.shape, generator=torch.Generator().manual_seed(0))
    chunk = flow.act(flow.project(batch.context), batch.state, noise, batch.positions[:, : flow.config.prefix])
    error = (chunk - batch.positions).abs() * 1e3
    last = error[:, -1].max(-1).values
    return {"mean_mrad": round(float(error.mean()), 2), "last_row_p90_mrad": round(float(last.quantile(0.9)), 2)}


def _frozen(module: nn.Module, kind: type[M]) -> M:
    assert isinstance(module, kind)
    return module.eval().requires_grad_(requires_grad=False)


def _minutes(since: float) -> float:
    return round((time.monotonic() - since) / 60, 1)
