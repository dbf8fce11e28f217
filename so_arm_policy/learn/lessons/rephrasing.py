"""What System 2 learns when it is to understand more phrasings, and is to mean by them what it already means.

The context of any phrasing is to be the one that the network, as it was, makes of the first phrasing of the same task:
knowledge distillation, after Hinton et al., "Distilling the knowledge in a neural network", 2015. So System 1 need not
be trained again. What sees stays as it is; only what reads is trained.
"""

import copy
import zlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from so_arm_policy.learn.demonstrations.labelled import Demonstrations
from so_arm_policy.learn.demonstrations.recordings import Ints
from so_arm_policy.learn.lessons.asking import Words, question_about
from so_arm_policy.learn.scene_encoder import SceneEncoder
from so_arm_policy.sim.tasks.task import Task

READING = ("words", "word_place", "readouts", "keys_values", "fusion", "norm")  # modules of System 2 that are trained


@dataclass(frozen=True)
class RephrasingBatch:
    """B pictures, each asked A things in two phrasings. images: (B, cameras, H, W, 3) uint8.

    words, first: (B * A, L), the instruction in any phrasing, and in the first one of its task; state: (B * A, n) rad.
    """

    images: Tensor
    words: Tensor
    first: Tensor
    state: Tensor


class RephrasingBatches:
    """Draws batches, every phrasing as often as any other. about: what they follow from, for the checkpoints."""

    def __init__(
        self,
        data: Demonstrations,
        frames: Ints,
        words: Words,
        tasks: tuple[Task, ...],
        *,
        asked: int = 4,
        held_out: bool = False,
    ) -> None:
        """frames: those to draw from; asked: A; held_out: in phrasings that no training sees."""
        self._data, self._frames, self._words, self._asked = data, frames, words, asked
        self._first = {
            phrase: task.phrasings.train[0]
            for task in tasks
            for phrase in (task.phrasings.held_out if held_out else task.phrasings.train)
        }
        self._phrases = tuple(self._first)
        said = zlib.crc32(repr(self._first).encode())
        self.about = data.digest, len(frames), asked, said

    def draw(self, rng: np.random.Generator, size: int) -> RephrasingBatch:
        """Draw `size` pictures."""
        frames = np.sort(rng.choice(self._frames, size))
        asked = [self._ask(int(frame), rng) for frame in frames for _ in range(self._asked)]
        words, first = (torch.from_numpy(np.stack(column)) for column in zip(*asked, strict=True))
        state = np.repeat(self._data.q[self._data.frames[frames]], self._asked, axis=0)
        images = torch.from_numpy(self._data.pictures(frames))
        return RephrasingBatch(images=images, words=words, first=first, state=torch.from_numpy(state))

    def _ask(self, frame: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
        names = self._data.scene["scene.names"][frame]
        phrase = self._phrases[int(rng.integers(len(self._phrases)))]
        question = question_about(rng, phrase, len(names))
        first = replace(question, phrase=self._first[phrase])
        return self._words.of(question, names), self._words.of(first, names)


class RephrasingObjective(nn.Module):
    """Lowers how far contexts of any phrasing are from those that the network, as it was, makes of the first one."""

    def __init__(self, encoder: SceneEncoder) -> None:
        """Keep a copy of `encoder` as it is, and let only what reads be trained."""
        super().__init__()
        self.encoder = encoder
        self._as_it_was = (copy.deepcopy(encoder).eval().requires_grad_(requires_grad=False),)  # no weights of this one
        for name, value in encoder.named_parameters():
            value.requires_grad_(name.partition(".")[0] in READING)

    def forward(self, batch: RephrasingBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and the distance of what is said of places, mm."""
        (as_it_was,) = self._as_it_was
        with torch.no_grad():
            patches = as_it_was.see(batch.images)
            wanted = as_it_was.fuse(patches, batch.first, batch.state)
        got = self.encoder.fuse(patches, batch.words, batch.state)
        loss = (got.tokens - wanted.tokens).square().mean() / wanted.tokens.square().mean()
        apart_mm = 1e3 * (got.source - wanted.source).detach().norm(dim=-1)
        return loss, {"mm": apart_mm.median(), "apart": (apart_mm > 20.0).float().mean()}


@torch.no_grad()
def check_rephrasing(encoder: SceneEncoder, batches: RephrasingBatches, pictures: int = 600) -> dict[str, float]:
    """Return how contexts of other phrasings differ from those of the first one, by the same network.

    off: root of their mean square difference, relative to their own size; apart: share of questions whose object is
    said to be more than 2 cm elsewhere.
    """
    rng, off, size, apart = np.random.default_rng(1), 0.0, 0.0, []
    for _ in range(pictures // 50):
        batch = batches.draw(rng, 50)
        patches = encoder.see(batch.images)
        got, wanted = (encoder.fuse(patches, words, batch.state) for words in (batch.words, batch.first))
        off += float((got.tokens - wanted.tokens).square().sum())
        size += float(wanted.tokens.square().sum())
        apart.append((got.source - wanted.source).norm(dim=-1) > 0.02)
    return {"off": round((off / size) ** 0.5, 4), "apart": round(float(torch.cat(apart).float().mean()), 4)}
