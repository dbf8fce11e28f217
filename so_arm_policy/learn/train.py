"""The recipe: System 2 learns to find what the instruction means, then System 1 learns to move there."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.learn.demonstrations.recordings import Recordings
from so_arm_policy.learn.families import make_expert
from so_arm_policy.learn.families.expert import ActionExpert, ExpertConfig
from so_arm_policy.learn.families.flow import FlowConfig
from so_arm_policy.learn.lessons.action_batches import ActionBatch
from so_arm_policy.learn.lessons.asking import Words
from so_arm_policy.learn.loop import Effort, LoopConfig, Watch, fit
from so_arm_policy.learn.scene_encoder import SceneEncoder, SceneEncoderConfig
from so_arm_policy.learn.weights import adopt, weights_from

log = logging.getLogger(__name__)
MUON = "blocks", "posterior", "context"  # modules of an expert that learn in fewer steps with it
M = TypeVar("M", bound=nn.Module)
B_co = TypeVar("B_co", covariant=True)
STATISTICS = 4096  # chunks that normalisation is taken from


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


class Drawn(Protocol[B_co]):
    """Batches from a seeded generator. about: what they follow from, for the checkpoints."""

    @property
    def about(self) -> tuple[object, ...]:
        """What they follow from."""
        ...

    def draw(self, rng: np.random.Generator, size: int) -> B_co:
        """Draw one batch."""
        ...


# Makes what System 2 is trained to of a System 2: a module that has it as its `encoder` and returns loss and figures.
SceneLesson = Callable[[SceneEncoder], nn.Module]


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
    config: TrainConfig, lesson: SceneLesson, batches: Drawn[Any], run: Path, begin: Path | None = None
) -> tuple[SceneEncoder, Effort]:
    """Train System 2; `run`/scene.pt lets a killed run go on. begin: checkpoint, or bundle, that it begins from.

    Raises InputError when no batches are to be trained on and `begin` lacks weights of this size.
    """
    torch.manual_seed(config.seed)
    objective = lesson(SceneEncoder(config.encoder))
    if begin is not None and not (run / "scene.pt").exists():
        adopted = adopt(objective, weights_from(begin, config.encoder), begin)
        missing = [name for name in adopted if name.startswith("encoder.")]
        if missing and config.scene.steps == 0:
            raise InputError(f"{begin}: got no {missing}, expected the whole of a System 2 that is not trained on")
        log.info("System 2 begins from %s, without %s", begin, missing)

    def draw(step: int, process: int) -> Any:
        return batches.draw(np.random.default_rng([config.seed, 1, step, process]), config.scene_batch)

    about = config.encoder, config.scene_batch, batches.about, *([str(begin)] if begin else [])
    fitted = fit(objective, draw, config.scene, run, "scene", about=about)
    encoder = fitted.module.encoder
    assert isinstance(encoder, SceneEncoder)
    return frozen(encoder), fitted.effort


@torch.no_grad()
def context_tokens(encoder: SceneEncoder, data: Recordings, words: Words, batch: int = 64) -> Tensor:
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
    data: Recordings,
    source: Drawn[ActionBatch],
    run: Path,
    watch: Watch | None = None,
    begin: Path | None = None,
    taught: npt.NDArray[np.bool_] | None = None,
) -> tuple[ActionExpert, Effort]:
    """Train System 1 on contexts of all ages and states on and off the expert's way; checkpoint `run`/action.pt.

    begin: checkpoint, or bundle, that it begins from, with its normalisation. taught: (E,) episodes that normalisation
    is taken from, by default all.
    """
    torch.manual_seed(config.seed + 1)
    expert = make_expert(config.expert)
    sample = source.draw(np.random.default_rng([config.seed, 3]), STATISTICS)
    expert.fit_statistics(*data.normalisation(taught), sample.positions)
    objective = ActionObjective(expert)
    if begin is not None and not (run / "action.pt").exists():
        missing = adopt(objective, weights_from(begin, config.encoder), begin)
        log.info("System 1 begins from %s, without %s", begin, missing)

    def draw(step: int, process: int) -> ActionBatch:
        return source.draw(np.random.default_rng([config.seed, 2, step, process]), config.action_batch)

    about = config.expert, config.action_batch, source.about, *([str(begin)] if begin else [])
    fitted = fit(objective, draw, config.action, run, "action", watch, about, MUON)
    assert isinstance(fitted.module, ActionObjective)
    return frozen(fitted.module.expert), fitted.effort


@torch.no_grad()
def check_action(expert: ActionExpert, batches: Drawn[ActionBatch]) -> dict[str, float]:
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
