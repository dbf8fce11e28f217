"""What System 2 learns from demonstrations that say where things are: to find what the instruction means."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from so_arm_policy.core.objects import COLORS, KINDS
from so_arm_policy.learn.lessons.scene_batches import SceneBatch, SceneBatches
from so_arm_policy.learn.scene_encoder import SceneEncoder, SceneFeatures
from so_arm_policy.sim.goal import PLACES

NAMING = 0.3  # weight of the loss of names
FOUND_M = 0.02  # objects lie further apart
WEIGHTS = {
    "source": 1.0,
    "place": 0.5,
    "pointing": 0.3,
    "roll": 0.2,
    "progress": 0.2,
}  # of the parts of System 2's loss


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
        "source": apart(encoder, said.source, batch.source),
        "place": apart(encoder, said.place, batch.place),
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


def apart(encoder: SceneEncoder, got: Tensor, expected: Tensor) -> Tensor:
    """Return how far places (B, 3) m are from what they should be, as a loss."""
    return functional.smooth_l1_loss(got / encoder.scale, expected / encoder.scale, beta=0.1)


@torch.no_grad()
def check_scene(encoder: SceneEncoder, batches: SceneBatches, pictures: int = 600) -> dict[str, float]:
    """Return the errors on held-out scenes: places in mm, and the share of objects found and of right steps."""
    rng = np.random.default_rng(1)
    drawn = (batches.draw(rng, 50) for _ in range(pictures // 50))
    checked = [scene_losses(encoder, encoder(b.images, b.words, b.state), b) for b in drawn]
    figures: dict[str, float] = {}
    for name in ("source", "place"):
        errors = torch.cat([getattr(losses, f"{name}_m") for losses in checked]) * 1e3
        quantiles = {"median": 0.5, "p90": 0.9, "p99": 0.99}
        figures |= {f"{name}_{key}_mm": round(float(errors.quantile(q)), 2) for key, q in quantiles.items()}
    source = torch.cat([losses.source_m for losses in checked])
    figures["found"] = round(float((source <= FOUND_M).float().mean()), 4)
    figures["right_step"] = round(float(torch.cat([losses.right_step for losses in checked]).mean()), 4)
    return figures
