"""One training from demonstrations to a bundle: what is done already is found in the run's folder and not done again.

A run's folder holds the tokenizer, System 2 (scene.pt, and what made it: scene.json), its tokens for all
demonstrations (context-*.npy), and a folder for each family. Families of one run share System 2.
"""

import dataclasses
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from so_arm_policy.core.errors import BundleError, ConfigError, InputError
from so_arm_policy.core.mapping import to_mapping
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.learn.closed_loop import ClosedLoop
from so_arm_policy.learn.demonstrations.episode_rows import ROW_TICKS
from so_arm_policy.learn.export import Recipe, export_bundle
from so_arm_policy.learn.families import FAMILIES
from so_arm_policy.learn.families.expert import ActionExpert
from so_arm_policy.learn.lessons.asking import Words
from so_arm_policy.learn.lessons.lessons import Lessons
from so_arm_policy.learn.loop import Effort, Watch
from so_arm_policy.learn.run_notes import RunNote, keep_scene_facts, this_commit, tokenizer_of
from so_arm_policy.learn.scene_encoder import SceneEncoder
from so_arm_policy.learn.train import (
    ActionObjective,
    TrainConfig,
    check_action,
    context_tokens,
    train_action,
    train_scene,
)
from so_arm_policy.policy.bundle import TOKENIZER
from so_arm_policy.policy.manifest import Manifest
from so_arm_policy.policy.tokenizer import Tokenizer, train_tokenizer, words_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class System2:
    """What a trained System 2 gives to the training of System 1. config: with the vocabulary that was learnt.

    context: (F, N, d), its tokens for every frame of the demonstrations.
    """

    config: TrainConfig
    encoder: SceneEncoder
    context: Tensor


@dataclass(frozen=True)
class Training:
    """What to train on what, where. origin: what the manifest says about the data; jobs: processes that evaluate.

    watch_episodes: tries in each closed-loop evaluation. scene_from, action_from: checkpoints of other runs or bundles,
    that the systems begin from.
    """

    lessons: Lessons
    name: str
    robot: RobotConfig
    config: TrainConfig
    run: Path
    origin: dict[str, Any]
    jobs: int = 2
    watch_episodes: int = 20
    scene_from: Path | None = None
    action_from: Path | None = None
    summary: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse evaluations of nothing and a System 2 that nothing was learnt by."""
        if self.config.scene.steps == 0 and self.scene_from is None:
            raise ConfigError("training: got 0 batches for System 2, expected some, or a run that it comes from")
        if not (1 <= self.jobs <= 256 and self.watch_episodes > 0):
            got = f"{self.jobs} jobs, {self.watch_episodes} episodes to watch"
            raise ConfigError(f"training: got {got}, expected 1..256 jobs and at least one episode")

    def bundle(self, out: Path) -> Manifest:
        """Train both systems and export them to `out`; the best of the closed-loop evaluations, if any."""
        manifest = self.export(*self.networks(), out)
        return self._closed_loop.keep_best(out) if self.config.action.watch_every else manifest

    def networks(self) -> tuple[SceneEncoder, ActionExpert]:
        """Train both systems, or find them as an earlier call left them."""
        lessons, unseen = self.lessons, self.lessons.data.held_out()
        system2 = self.system2()
        config, folder = system2.config, self.run / self.family
        self._keep_note(config)
        sizes = config.expert.horizon, config.expert.prefix
        watch = self._watch(system2.encoder) if config.action.watch_every else None
        training = lessons.actions(~unseen, system2.context, *sizes)
        expert, effort = train_action(config, lessons.data, training, folder, watch, self.action_from)
        check = lessons.actions(unseen, system2.context, *sizes)
        self._note("action", check_action(expert, check), effort, config.action_batch)
        self._keep_note(config)
        return system2.encoder, expert

    def system2(self) -> "System2":
        """Train System 2 and keep its tokens, or find both as an earlier call left them."""
        (self.run / self.family).mkdir(parents=True, exist_ok=True)
        words, lessons = self._words(), self.lessons
        vocabulary = words.tokenizer.vocabulary
        config = dataclasses.replace(
            self.config, encoder=dataclasses.replace(self.config.encoder, vocabulary=vocabulary)
        )
        keep_scene_facts(self.run, self._facts())
        data, unseen = lessons.data, lessons.data.held_out()
        scenes = lessons.scenes(~unseen, words, config.encoder.grid)
        encoder, effort = train_scene(config, lessons.objective, scenes, self.run, self.scene_from)
        self._note("scene", lessons.check(encoder, unseen, words), effort, config.scene_batch)
        keep_scene_facts(self.run, self._facts())
        # scene.pt belongs to these demonstrations, or training would have refused it; so the tokens follow from both.
        context = cached(self.run / f"context-{data.digest}.npy", lambda: context_tokens(encoder, data, words))
        return System2(config, encoder, context)

    def _words(self) -> Words:
        """Return the tokens of all instructions, by the tokenizer that System 2 has learnt or begins with."""
        path = self.run / TOKENIZER
        if not path.exists():
            other = None if self.scene_from is None else tokenizer_of(self.scene_from)
            if other is not None and (self.config.scene.steps == 0 or self.can_say_all(other)):
                shutil.copy(other, path)
            else:
                train_tokenizer(self.lessons.corpus, path)
        return self._words_of(path)

    def _words_of(self, path: Path) -> Words:
        return Words(Tokenizer(path, words_of(self.lessons.corpus), self.config.encoder.max_tokens))

    def can_say_all(self, tokenizer: Path) -> bool:
        """Whether every instruction fits into the tokens there are; if so, what was learnt of them is kept."""
        try:
            words = self._words_of(tokenizer)
            for instruction in self.lessons.corpus:
                words.text(instruction)
        except (BundleError, InputError) as error:
            log.info("System 2 gets a tokenizer of its own: %s", error)
            return False
        return True

    @property
    def family(self) -> str:
        """Name of the family that is trained."""
        return next(name for name, (kind, _) in FAMILIES.items() if type(self.config.expert) is kind)

    def _note(self, name: str, figures: dict[str, float], effort: Effort, batch: int) -> None:
        """Add the figures of one system to the summary."""
        self.summary[name] = figures
        if effort.steps > 0:
            self.summary[f"{name}_minutes"] = round(effort.seconds / 60, 1)
            self.summary[f"{name}_samples_per_s"] = round(effort.steps * batch / effort.seconds, 1)
            self.summary[f"{name}_waiting_for_data"] = round(effort.waited / effort.seconds, 4)
        log.info("%s: %s", name, self.summary)

    def _keep_note(self, config: TrainConfig) -> None:
        """Say in the run's folder what its checkpoints are, so that `so-arm export` can read them."""
        note = RunNote(
            name=self.name,
            tasks=self.lessons.names,
            robot=self.robot.name,
            words=words_of(self.lessons.corpus),
            dt_s=ROW_TICKS / CONTROL_HZ,
            encoder=config.encoder,
            family=self.family,
            expert=to_mapping(config.expert),
            training=self._facts(),
        )
        note.save(self.run / self.family)

    def _facts(self) -> dict[str, Any]:
        return {**self.origin, "commit": this_commit(), **self.summary}

    @property
    def _closed_loop(self) -> ClosedLoop:
        return ClosedLoop(self.lessons.names, self.run / self.family / "best", self.jobs, self.watch_episodes)

    def _watch(self, encoder: SceneEncoder) -> Watch:
        """Return what exports the averaged weights of a moment and lets them act."""
        loop = self._closed_loop

        def watch(step: int, module: nn.Module) -> dict[str, float]:
            assert isinstance(module, ActionObjective)
            self.export(encoder, module.expert, loop.candidate, {"watched_at_step": step})
            rates = loop.judge()
            log.info("after %d steps, success in %d episodes each: %s", step, loop.episodes, rates)
            return {f"success/{task}": rate for task, rate in rates.items()}

        return watch

    def export(
        self, encoder: SceneEncoder, expert: ActionExpert, out: Path, more: dict[str, Any] | None = None
    ) -> Manifest:
        """Write the bundle of both networks to `out`. more: what else its manifest says of the training."""
        recipe = Recipe(
            name=self.name,
            tasks=self.lessons.names,
            corpus=self.lessons.corpus,
            dt_s=ROW_TICKS / CONTROL_HZ,
            training=self._facts() | (more or {}),
        )
        return export_bundle(encoder, expert, self.robot, recipe, self.run / TOKENIZER, out)


def cached(path: Path, make: Callable[[], Tensor]) -> Tensor:
    """Return the tensor kept at `path`, made and kept by the first call. Raises InputError."""
    try:
        if not path.exists():
            partial = path.with_suffix(f".{os.getpid()}.partial")
            with partial.open("wb") as file:
                np.save(file, make().numpy())
            partial.replace(path)
        return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: got {error}, expected System 2's tokens; remove it to make them again") from error
