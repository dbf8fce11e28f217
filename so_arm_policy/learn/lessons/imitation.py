"""What System 2 learns from recordings alone: where the hand goes next, and what it is told in the next two seconds.

The first is said in the same outputs as where an object is, so that System 1 reads it to the millimetre and a person
sees it; the second makes the read-outs say what else the motion depends on.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from so_arm_policy.learn.lessons.grounding import apart
from so_arm_policy.learn.lessons.imitation_batches import AHEAD, RecordedSceneBatches, RecordedScenes
from so_arm_policy.learn.scene_encoder import SceneEncoder, SceneFeatures

WEIGHTS = {"source": 1.0, "place": 0.5, "ahead": 1.0}  # of the parts of the loss


class ImitationObjective(nn.Module):
    """What System 2 is trained to, of recordings of robots with `joints` joints."""

    def __init__(self, encoder: SceneEncoder) -> None:
        """Wrap the encoder."""
        super().__init__()
        self.encoder = encoder
        width, outputs = encoder.config.width, len(AHEAD) * encoder.config.joints
        tokens = encoder.config.context_tokens * width
        self.ahead = nn.Sequential(nn.Linear(tokens, 2 * width), nn.GELU(), nn.Linear(2 * width, outputs))

    def forward(self, batch: RecordedScenes) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, its parts, and the median distance of the next place in mm."""
        said = self.encoder(batch.images, batch.words, batch.state)
        parts = {
            "source": apart(self.encoder, said.source, batch.source),
            "place": apart(self.encoder, said.place, batch.place),
            "ahead": functional.smooth_l1_loss(self.said_ahead(said), batch.ahead, beta=0.1),
        }
        figures = {name: part.detach() for name, part in parts.items()}
        figures["mm"] = (said.source - batch.source).detach().norm(dim=-1).median() * 1e3
        return sum((WEIGHTS[name] * part for name, part in parts.items()), torch.zeros(())), figures

    def said_ahead(self, said: SceneFeatures) -> Tensor:
        """Return the commands of rows AHEAD less the state, in their standard deviations: (B, A, n)."""
        return self.ahead(said.tokens.flatten(1)).unflatten(-1, (len(AHEAD), -1))


@torch.no_grad()
def check_imitation(encoder: SceneEncoder, batches: RecordedSceneBatches, pictures: int = 600) -> dict[str, float]:
    """Return how far the next two places are off in held-out episodes, mm."""
    rng = np.random.default_rng(1)
    off: dict[str, list[npt.NDArray[np.float32]]] = {"source": [], "place": []}
    for batch in (batches.draw(rng, 50) for _ in range(pictures // 50)):
        said = encoder(batch.images, batch.words, batch.state)
        off["source"].append((said.source - batch.source).norm(dim=-1).numpy() * 1e3)
        off["place"].append((said.place - batch.place).norm(dim=-1).numpy() * 1e3)
    quantiles = {"median": 0.5, "p90": 0.9}
    return {
        f"{name}_{key}_mm": round(float(np.quantile(np.concatenate(errors), q)), 2)
        for name, errors in off.items()
        for key, q in quantiles.items()
    }
