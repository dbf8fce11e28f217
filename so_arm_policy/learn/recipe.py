"""One training from demonstrations to a bundle: what is done already is found in the run's folder and not done again.

A run's folder holds the tokenizer, System 2 (scene.pt), its tokens for all demonstrations (context.npy), and a folder
for each family. Families of one run share System 2.
"""

import dataclasses
import logging
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from so_arm_policy.core.errors import InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.learn.closed_loop import ClosedLoop
from so_arm_policy.learn.collect import ROW_TICKS
from so_arm_policy.learn.demonstrations import ActionBatches, Demonstrations
from so_arm_policy.learn.expert import ActionExpert
from so_arm_policy.learn.export import Recipe, export_bundle
from so_arm_policy.learn.families import FAMILIES
from so_arm_policy.learn.loop import Effort, Watch
from so_arm_policy.learn.scene_encoder import SceneEncoder
from so_arm_policy.learn.train import (
    ActionObjective,
    Split,
    TrainConfig,
    check_action,
    check_scene,
    context_tokens,
    scene_batches,
    train_action,
    train_scene,
)
from so_arm_policy.policy.manifest import Manifest
from so_arm_policy.policy.tokenizer import Tokenizer, train_tokenizer, words_of
from so_arm_policy.sim.tasks.task import Task

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """What to train, where. origin: what the manifest says about the data; jobs: processes that evaluate.

    watch_episodes: tries in each closed-loop evaluation.
    """

    task: Task
    robot: RobotConfig
    config: TrainConfig
    run: Path
    origin: dict[str, Any]
    jobs: int = 2
    watch_episodes: int = 20
    summary: dict[str, Any] = field(default_factory=dict)

    def bundle(self, data: Demonstrations, out: Path) -> Manifest:
        """Train both systems on `data` and export them to `out`; the best of the closed-loop evaluations, if any."""
        family = next(name for name, (kind, _) in FAMILIES.items() if type(self.config.expert) is kind)
        (self.run / family).mkdir(parents=True, exist_ok=True)
        if not (self.run / "tokenizer.json").exists():
            train_tokenizer(self.task.corpus(), self.run / "tokenizer.json")
        words = words_of(self.task.corpus())
        tokenizer = Tokenizer(self.run / "tokenizer.json", words, self.config.encoder.max_tokens)
        encoder_config = dataclasses.replace(self.config.encoder, vocabulary=tokenizer.vocabulary)
        config = dataclasses.replace(self.config, encoder=encoder_config)
        split = Split.of(data)
        seen, unseen = (scene_batches(config, part, self.robot, tokenizer) for part in (split.training, split.held_out))

        encoder, effort = train_scene(config, seen, self.run)
        self._note("scene", check_scene(encoder, unseen), effort, config.scene_batch)
        context = cached(self.run / "context.npy", lambda: context_tokens(encoder, split.training, seen))
        loop = ClosedLoop(self.task.name, self.run / family / "best", self.jobs, self.watch_episodes)
        watch = self._watch(encoder, loop) if config.action.watch_every else None
        expert, effort = train_action(config, split.training, context, self.run / family, watch)
        unseen_context = context_tokens(encoder, split.held_out, unseen)
        check = ActionBatches(split.held_out, unseen_context, config.expert.horizon, config.expert.prefix)
        self._note("action", check_action(expert, check), effort, config.action_batch)
        manifest = self._export(encoder, expert, out)
        return loop.keep_best(out) if watch else manifest

    def _note(self, name: str, figures: dict[str, float], effort: Effort, batch: int) -> None:
        """Add the figures of one system to the summary."""
        self.summary[name] = figures
        self.summary[f"{name}_minutes"] = round(effort.seconds / 60, 1)
        self.summary[f"{name}_samples_per_s"] = round(effort.steps * batch / effort.seconds, 1)
        self.summary[f"{name}_waiting_for_data"] = round(effort.waited / effort.seconds, 4)
        log.info("%s: %s", name, self.summary)

    def _watch(self, encoder: SceneEncoder, loop: ClosedLoop) -> Watch:
        """Return what exports the averaged weights of a moment and lets them act."""

        def watch(step: int, module: nn.Module) -> dict[str, float]:
            assert isinstance(module, ActionObjective)
            self._export(encoder, module.expert, loop.candidate, {"watched_at_step": step})
            rate = loop.judge()
            log.info("after %d steps: %.0f %% of %d episodes", step, 100 * rate, loop.episodes)
            return {"success": rate}

        return watch

    def _export(
        self, encoder: SceneEncoder, expert: ActionExpert, out: Path, more: dict[str, Any] | None = None
    ) -> Manifest:
        recipe = Recipe(
            task=self.task.name,
            corpus=self.task.corpus(),
            dt_s=ROW_TICKS / CONTROL_HZ,
            training={**self.origin, "commit": _commit(), **self.summary, **(more or {})},
        )
        return export_bundle(encoder, expert, self.robot, recipe, self.run / "tokenizer.json", out)


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


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
