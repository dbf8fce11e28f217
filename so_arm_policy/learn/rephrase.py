"""More phrasings for bundles that exist: System 2 learns to read them, System 1 stays as it is, to the bit."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from so_arm_policy.core.errors import InputError
from so_arm_policy.learn.demonstrations.labelled import Demonstrations
from so_arm_policy.learn.export import checked_export, digest, whole
from so_arm_policy.learn.lessons.asking import Words
from so_arm_policy.learn.lessons.lessons import frames_in
from so_arm_policy.learn.lessons.rephrasing import (
    RephrasingBatch,
    RephrasingBatches,
    RephrasingObjective,
    check_rephrasing,
)
from so_arm_policy.learn.loop import LoopConfig, fit
from so_arm_policy.learn.scene_encoder import SceneEncoder, SceneEncoderConfig
from so_arm_policy.learn.train import frozen
from so_arm_policy.learn.weights import GRAPHS, Restored, golden_arrays, golden_graphs, restored
from so_arm_policy.policy.bundle import OPTIONAL_FILES, TOKENIZER, Bundle, write_bundle_files
from so_arm_policy.policy.manifest import Manifest
from so_arm_policy.policy.tokenizer import Tokenizer, words_of
from so_arm_policy.sim.tasks.task import Task

log = logging.getLogger(__name__)
Figures = dict[str, dict[str, dict[str, float]]]
SYSTEM2, SYSTEM1 = GRAPHS


@dataclass(frozen=True, kw_only=True)
class Rephrasing:
    """What to learn. tasks: whose phrasings; batch: pictures; run: for checkpoints; origin: what the manifests say."""

    tasks: tuple[Task, ...]
    loop: LoopConfig
    encoder: SceneEncoderConfig
    run: Path
    origin: dict[str, Any]
    batch: int = 32

    def rephrase(self, bundles: Sequence[Bundle], data: Demonstrations, out: Path) -> list[Manifest]:
        """Train the System 2 that `bundles` share and write each of them, with that, into `out`.

        Raises InputError when they share none, or cannot say the phrasings.
        """
        names = [bundle.path.name for bundle in bundles]
        if len(set(names)) < len(names):
            raise InputError(f"bundles: got folders {names}, expected different names, for they go into one folder")
        networks = [restored(bundle, self.encoder) for bundle in bundles]
        for bundle, other in zip(bundles[1:], networks[1:], strict=True):
            same_words = bundle.read(TOKENIZER) == bundles[0].read(TOKENIZER)
            if not (same_words and _same(networks[0].encoder, other.encoder)):
                raise InputError(f"{bundle.path}: got another System 2 than {bundles[0].path} has, expected the same")
        words = self._words(bundles[0])
        encoder, figures = self._train(networks[0].encoder, data, words)
        return [
            self._write(bundle, replace(network, encoder=encoder), words, figures, out / bundle.path.name)
            for bundle, network in zip(bundles, networks, strict=True)
        ]

    def _words(self, bundle: Bundle) -> Words:
        """Return the tokens of all instructions, by the bundle's own tokenizer. Raises InputError for one too long."""
        corpus = [text for task in self.tasks for text in task.corpus()]
        known = tuple(sorted({*bundle.manifest.words, *words_of(corpus)}))
        words = Words(Tokenizer(bundle.path / TOKENIZER, known, bundle.manifest.max_tokens))
        for text in corpus:
            words.text(text)
        return words

    def _train(self, encoder: SceneEncoder, data: Demonstrations, words: Words) -> tuple[SceneEncoder, Figures]:
        unseen = data.held_out()
        frames, kept = frames_in(data, ~unseen), frames_in(data, unseen)
        new = tuple(task for task in self.tasks if task.phrasings.held_out)
        checks = {
            "phrases": RephrasingBatches(data, kept, words, self.tasks),
            "new_phrases": RephrasingBatches(data, kept, words, new, held_out=True),
        }
        before = {name: check_rephrasing(encoder, batches) for name, batches in checks.items()}
        batches = RephrasingBatches(data, frames, words, self.tasks)
        torch.manual_seed(self.loop.seed)

        def draw(step: int, process: int) -> RephrasingBatch:
            return batches.draw(np.random.default_rng([self.loop.seed, 4, step, process]), self.batch)

        self.run.mkdir(parents=True, exist_ok=True)
        about = encoder.config, self.batch, batches.about
        module = fit(RephrasingObjective(encoder), draw, self.loop, self.run, "rephrased", about=about).module
        assert isinstance(module, RephrasingObjective)
        trained = frozen(module.encoder)
        after = {name: check_rephrasing(trained, batches) for name, batches in checks.items()}
        figures = {name: {"before": before[name], "after": after[name]} for name in checks}
        log.info("other phrasings than the first: %s", figures)
        return trained, figures

    def _write(self, bundle: Bundle, network: Restored, words: Words, figures: Figures, folder: Path) -> Manifest:
        """Write `bundle` with the System 2 of `network` to `folder`, whole or not at all.

        Its scores are kept, and say of which bundle they are.
        """
        said, system2 = bundle.manifest, golden_graphs(bundle, network.encoder, network.expert)[SYSTEM2]
        with whole(folder) as partial:
            for name in (SYSTEM1, TOKENIZER, *(n for n in OPTIONAL_FILES if n in said.files)):
                (partial / name).write_bytes(bundle.read(name))
            parity = said.training.get("parity_max_abs", {}) | {SYSTEM2: checked_export(system2, partial / SYSTEM2)}
            history = {"rephrased": {"bundle": said.id, **self.origin, **figures}, "parity_max_abs": parity}
            manifest = replace(
                said,
                id=f"{said.id.rpartition('-')[0]}-{digest(partial)}",
                words=words.tokenizer.words,
                training=said.training | history,
                scores={label: {**score, "of": score.get("of") or said.id} for label, score in said.scores.items()},
            )
            return write_bundle_files(partial, manifest, golden_arrays(bundle, SYSTEM1), system2.arrays())


def _same(one: SceneEncoder, other: SceneEncoder) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
