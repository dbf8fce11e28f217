"""The recipe: System 2 learns to find what the instruction means, then System 1 learns to move there."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.learn.action_batches import ActionBatch, ActionBatches
from so_arm_policy.learn.asking import Words
from so_arm_policy.learn.demonstrations import Demonstrations
from so_arm_policy.learn.expert import ActionExpert, ExpertConfig
from so_arm_policy.learn.families import make_expert
from so_arm_policy.learn.flow import FlowConfig
from so_arm_policy.learn.loop import Effort, LoopConfig, Watch, adopt, fit
from so_arm_policy.learn.scene_batches import SceneBatch, SceneBatches
from so_arm_policy.learn.scene_encoder import SceneEncoder, SceneEncoderConfig, SceneFeatures
from so_arm_policy.sim.goal import PLACES
from so_arm_policy.sim.objects import COLORS, KINDS

log = logging.getLogger(__name__)
MUON = "blocks", "posterior", "context"  # modules of an expert that learn in fewer steps with it
NAMING = 0.3  # weight of the loss of names
M = TypeVar("M", bound=nn.Module)
STATISTICS = 4096  # chunks that normalisation is taken from
WEIGHTS = {
    "source": 1.0,
    "place": 0.5,
    "pointing": 0.3,
    "roll": 0.2,
    "progress": 0.2,
}  # of the parts of System 2's loss


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training. scene: loop of System 2; action: loop of System 1; batch sizes in pictures and in states."""

    seed: int = 0
    scene: LoopConfig = field(default_factory=lambda: LoopConfig(steps=5000, rate=1e-3))
    action: LoopConfig = field(default_factory=lambda: LoopConfig(steps=3000, rate=1.5e-3))
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
        if self.action.steps == 0:
            raise ConfigError("training: got 0 batches for System 1, expected some")
        if not (self.scene_batch > 0 and self.action_batch > 0 and self.seed >= 0):
            batches = f"scene_batch {self.scene_batch}, action_batch {self.action_batch}, seed {self.seed}"
            raise ConfigError(f"training: got {batches}, expected positive batches and a seed of 0 or more")


class SceneObjective(nn.Module):
    """What System 2 is trained to: point at the object that each instruction means, and say where it is.

    In training only, patches also say colour and kind of what they show, and read-outs, in the same words, those of
    what the instruction means: so both come to one language, in which pointing is easy to learn.
    """

    def __init__(self, encoder: SceneEncoder) -> None:
        """Wrap the encoder."""
        super().__init__()
        self.encoder = encoder
        self.color = nn.Linear(encoder.config.width, len(COLORS))
        self.kind = nn.Linear(encoder.config.width, len(KINDS) + len(PLACES))

    def forward(self, batch: SceneBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and the median distance in the table plane in mm."""
        patches = self.encoder.see(batch.images)
        said = self.encoder.fuse(patches, batch.words, batch.state)
        losses = scene_losses(self.encoder, said, batch)
        shown = self._naming(patches.take_along_dim(batch.shown.unsqueeze(-1), dim=1), batch.names)
        wanted = self._naming(said.tokens[:, : batch.wanted.shape[1]], batch.wanted)
        figures = {name: value.detach().mean() for name, value in losses.parts.items()}
        figures |= {"mm": losses.source_m.detach().median() * 1e3, "shown": shown.detach(), "wanted": wanted.detach()}
        return losses.total + NAMING * (shown + wanted), figures

    def _naming(self, tokens: Tensor, names: Tensor) -> Tensor:
        """Return the loss of the names that tokens (B, K, d) give to what they are about; names: (B, K, 2)."""
        tokens = tokens.flatten(0, 1)
        color, kind = names.flatten(0, 1).unbind(-1)
        return functional.cross_entropy(self.color(tokens), color) + functional.cross_entropy(self.kind(tokens), kind)


class ActionObjective(nn.Module):
    """What System 1 is trained to: its family's own loss."""

    def __init__(self, expert: ActionExpert) -> None:
        """Wrap the expert."""
        super().__init__()
        self.expert = expert

    def forward(self, batch: ActionBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and no other figures."""
        return self.expert.loss(batch.positions, self.expert.project(batch.context), batch.state), {}


def train_scene(
    config: TrainConfig, batches: SceneBatches, run: Path, begin: Path | None = None
) -> tuple[SceneEncoder, Effort]:
    """Train System 2; `run`/scene.pt lets a killed run go on. begin: checkpoint of another run, to begin from.

    Raises InputError when no batches are to be trained on and `begin` lacks weights of this size.
    """
    torch.manual_seed(config.seed)
    objective = SceneObjective(SceneEncoder(config.encoder))
    if begin is not None and not (run / "scene.pt").exists():
        missing = adopt(objective, begin)
        if missing and config.scene.steps == 0:
            raise InputError(f"{begin}: got no {missing}, expected the whole of a System 2 that is not trained on")
        log.info("System 2 begins from %s, without %s", begin, missing)

    def draw(step: int, process: int) -> SceneBatch:
        return batches.draw(np.random.default_rng([config.seed, 1, step, process]), config.scene_batch)

    about = config.encoder, config.scene_batch, batches.about, *([str(begin)] if begin else [])
    fitted = fit(objective, draw, config.scene, run, "scene", about=about)
    assert isinstance(fitted.module, SceneObjective)
    return frozen(fitted.module.encoder), fitted.effort


@dataclass(frozen=True)
class SceneLosses:
    """total: what training lowers; parts: of what; source_m, place_m: (B * A,) distances in the table plane, m."""

    total: Tensor
    parts: dict[str, Tensor]
    source_m: Tensor
    place_m: Tensor
    right_step: Tensor


def scene_losses(encoder: SceneEncoder, said: SceneFeatures, batch: SceneBatch) -> SceneLosses:
    """Compare what the encoder says of a batch with the truth."""
    counts = batch.roll[:, 2]
    roll = ((said.roll - batch.roll[:, :2]).square().sum(-1) * counts).sum() / counts.sum().clamp(min=1.0)
    parts = {
        "source": _apart(encoder, said.source, batch.source),
        "place": _apart(encoder, said.place, batch.place),
        "pointing": functional.cross_entropy(said.pointers.flatten(0, 1), batch.patches.flatten()),
        "roll": roll,
        "progress": functional.cross_entropy(said.progress, batch.progress),
    }
    return SceneLosses(
        total=sum((WEIGHTS[name] * part for name, part in parts.items()), torch.zeros(())),
        parts=parts,
        source_m=(said.source - batch.source)[:, :2].norm(dim=-1),
        place_m=(said.place - batch.place)[:, :2].norm(dim=-1),
        right_step=(said.progress.argmax(-1) == batch.progress).float(),
    )


def _apart(encoder: SceneEncoder, got: Tensor, expected: Tensor) -> Tensor:
    return functional.smooth_l1_loss(got / encoder.scale, expected / encoder.scale, beta=0.1)


@torch.no_grad()
def check_scene(encoder: SceneEncoder, batches: SceneBatches, pictures: int = 600) -> dict[str, float]:
    """Return the errors on held-out scenes: places in mm, and the share of right steps."""
    rng = np.random.default_rng(1)
    drawn = (batches.draw(rng, 50) for _ in range(pictures // 50))
    checked = [scene_losses(encoder, encoder(b.images, b.words, b.state), b) for b in drawn]
    figures: dict[str, float] = {}
    for name in ("source", "place"):
        errors = torch.cat([getattr(losses, f"{name}_m") for losses in checked]) * 1e3
        quantiles = {"median": 0.5, "p90": 0.9, "p99": 0.99}
        figures |= {f"{name}_{key}_mm": round(float(errors.quantile(q)), 2) for key, q in quantiles.items()}
    figures["right_step"] = round(float(torch.cat([losses.right_step for losses in checked]).mean()), 4)
    return figures


@torch.no_grad()
def context_tokens(encoder: SceneEncoder, data: Demonstrations, words: Words, batch: int = 64) -> Tensor:
    """Return System 2's tokens for every demonstrated frame, asked its episode's instruction: (F, N, d) float16.

    Others have zeros.
    """
    out = torch.zeros(len(data.frames), encoder.config.context_tokens, encoder.config.width, dtype=torch.float16)
    episode = data.episode[data.frames]
    demonstrated = np.flatnonzero(data.demonstrated[episode])
    for first in tqdm(range(0, len(demonstrated), batch), desc="contexts", unit="batch", mininterval=10.0):
        frames = demonstrated[first : first + batch]
        told = np.stack([words.text(data.instructions[e]) for e in episode[frames]])
        images, state = torch.from_numpy(data.pictures(frames)), torch.from_numpy(data.q[data.frames[frames]])
        out[torch.from_numpy(frames)] = encoder(images, torch.from_numpy(told), state).tokens.half()
    return out


def train_action(
    config: TrainConfig,
    data: Demonstrations,
    source: ActionBatches,
    run: Path,
    watch: Watch | None = None,
    begin: Path | None = None,
) -> tuple[ActionExpert, Effort]:
    """Train System 1 on contexts of all ages and states on and off the expert's way; checkpoint `run`/action.pt.

    begin: checkpoint of another run, to begin from, with its normalisation.
    """
    torch.manual_seed(config.seed + 1)
    expert = make_expert(config.expert)
    sample = source.draw(np.random.default_rng([config.seed, 3]), STATISTICS)
    expert.fit_statistics(*data.normalisation(), sample.positions)
    objective = ActionObjective(expert)
    if begin is not None and not (run / "action.pt").exists():
        log.info("System 1 begins from %s, without %s", begin, adopt(objective, begin))

    def draw(step: int, process: int) -> ActionBatch:
        return source.draw(np.random.default_rng([config.seed, 2, step, process]), config.action_batch)

    about = config.expert, config.action_batch, source.about, *([str(begin)] if begin else [])
    fitted = fit(objective, draw, config.action, run, "action", watch, about, MUON)
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


def frozen(module: M) -> M:
    """Return `module` ready to be used, never to be trained."""
    return module.eval().requires_grad_(requires_grad=False)
