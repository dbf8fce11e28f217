"""The recipe: System 2 learns to find what the instruction means, then System 1 learns to move there."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.learn.demonstrations import ActionBatch, ActionBatches, Demonstrations, SceneBatch, SceneBatches
from so_arm_policy.learn.expert import ActionExpert, ExpertConfig
from so_arm_policy.learn.families import make_expert
from so_arm_policy.learn.flow import FlowConfig
from so_arm_policy.learn.loop import Effort, LoopConfig, Watch, fit
from so_arm_policy.learn.scene_encoder import SceneEncoder, SceneEncoderConfig
from so_arm_policy.policy.tokenizer import Tokenizer

M = TypeVar("M", bound=nn.Module)
HELD_OUT = 100  # episodes never trained on, for the figures of the log; of a small set a tenth
STATISTICS = 4096  # chunks that normalisation is taken from


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training. scene: loop of System 2; action: loop of System 1; batch sizes in pictures and in states."""

    seed: int = 0
    scene: LoopConfig = field(default_factory=lambda: LoopConfig(steps=4000, rate=1e-3))
    action: LoopConfig = field(default_factory=lambda: LoopConfig(steps=6000, rate=1.5e-3))
    scene_batch: int = 32
    action_batch: int = 128
    encoder: SceneEncoderConfig = field(default_factory=SceneEncoderConfig)
    expert: ExpertConfig = field(default_factory=FlowConfig)

    def __post_init__(self) -> None:
        """Refuse parts that do not fit each other."""
        if self.expert.context_tokens != self.encoder.context_tokens or self.expert.context_width != self.encoder.width:
            raise ConfigError(
                f"training: got an expert for {self.expert.context_tokens} context tokens of "
                f"{self.expert.context_width}, expected {self.encoder.context_tokens} of {self.encoder.width}"
            )


@dataclass(frozen=True)
class Split:
    """Demonstrations to train on and those held out."""

    training: Demonstrations
    held_out: Demonstrations

    @classmethod
    def of(cls, data: Demonstrations) -> "Split":
        """Hold out the last episodes. Raises InputError when there are too few."""
        if data.episodes < 10:
            raise InputError(f"demonstrations: got {data.episodes} episodes, expected at least 10")
        return cls(*data.split(min(HELD_OUT, data.episodes // 10)))


class SceneObjective(nn.Module):
    """What System 2 is trained to: point at the object that each instruction means, and say where it is."""

    def __init__(self, encoder: SceneEncoder) -> None:
        """Wrap the encoder."""
        super().__init__()
        self.encoder = encoder

    def forward(self, batch: SceneBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and the median distance in the table plane in mm."""
        place, pointing, error = scene_losses(self.encoder, batch)
        return place + 0.1 * pointing, {"mm": error.detach().median() * 1e3, "pointing": pointing.detach()}


class ActionObjective(nn.Module):
    """What System 1 is trained to: its family's own loss."""

    def __init__(self, expert: ActionExpert) -> None:
        """Wrap the expert."""
        super().__init__()
        self.expert = expert

    def forward(self, batch: ActionBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and no other figures."""
        return self.expert.loss(batch.positions, self.expert.project(batch.context), batch.state), {}


def train_scene(config: TrainConfig, batches: SceneBatches, run: Path) -> tuple[SceneEncoder, Effort]:
    """Train System 2; `run`/scene.pt lets a killed run go on."""
    torch.manual_seed(config.seed)
    objective = SceneObjective(SceneEncoder(config.encoder))

    def draw(step: int, process: int) -> SceneBatch:
        return batches.draw(np.random.default_rng([config.seed, 1, step, process]), config.scene_batch)

    fitted = fit(objective, draw, config.scene, run, "scene")
    assert isinstance(fitted.module, SceneObjective)
    return frozen(fitted.module.encoder), fitted.effort


def scene_losses(encoder: SceneEncoder, batch: SceneBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss of the place, of the pointer, and the distances in the table plane (B * K,) m."""
    features = encoder(batch.images, batch.words, batch.state)
    place = functional.smooth_l1_loss(features.grounding / encoder.scale, batch.place / encoder.scale, beta=0.1)
    pointing = functional.cross_entropy(features.pointer, batch.patch)
    return place, pointing, (features.grounding - batch.place)[:, :2].norm(dim=-1)


@torch.no_grad()
def check_scene(encoder: SceneEncoder, batches: SceneBatches, pictures: int = 500) -> dict[str, float]:
    """Return the error of the place on held-out scenes, mm."""
    rng = np.random.default_rng(1)
    errors = torch.cat([scene_losses(encoder, batches.draw(rng, 50))[2] for _ in range(pictures // 50)]) * 1e3
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
    config: TrainConfig, data: Demonstrations, context: Tensor, run: Path, watch: Watch | None = None
) -> tuple[ActionExpert, Effort]:
    """Train System 1 on contexts of all ages and states on and off the expert's way; checkpoint `run`/action.pt."""
    torch.manual_seed(config.seed + 1)
    expert = make_expert(config.expert)
    source = ActionBatches(data, context, config.expert.horizon, config.expert.prefix)
    sample = source.draw(np.random.default_rng([config.seed, 3]), STATISTICS)
    expert.fit_statistics(*data.normalisation(), sample.positions)

    def draw(step: int, process: int) -> ActionBatch:
        return source.draw(np.random.default_rng([config.seed, 2, step, process]), config.action_batch)

    fitted = fit(ActionObjective(expert), draw, config.action, run, "action", watch)
    assert isinstance(fitted.module, ActionObjective)
    return frozen(fitted.module.expert), fitted.effort


@torch.no_grad()
def check_action(expert: ActionExpert, batches: ActionBatches) -> dict[str, float]:
    """Return the error of whole chunks on held-out scenes, mrad."""
    batch: ActionBatch = batches.draw(np.random.default_rng(3), 1000)
    generator = torch.Generator().manual_seed(0)
    noise = expert.noise_std * torch.randn(1000, *expert.config.noise_shape, generator=generator)
    prefix = batch.positions[:, : expert.config.prefix]
    chunk = expert.act(expert.project(batch.context), batch.state, noise, prefix)
    error = (chunk - batch.positions).abs() * 1e3
    last = error[:, -1].max(-1).values
    return {"mean_mrad": round(float(error.mean()), 2), "last_row_p90_mrad": round(float(last.quantile(0.9)), 2)}


def scene_batches(config: TrainConfig, data: Demonstrations, robot: RobotConfig, tokenizer: Tokenizer) -> SceneBatches:
    """Return what draws batches for System 2 from `data`."""
    return SceneBatches(data, tokenizer, robot.camera("overhead"), config.encoder.grid)


def frozen(module: M) -> M:
    """Return `module` ready to be used, never to be trained."""
    return module.eval().requires_grad_(requires_grad=False)
