"""What a run's folder says of itself, so that its checkpoints can be exported without the command that trained them."""

import json
import os
import pickle
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.mapping import from_mapping, to_mapping
from so_arm_policy.learn.export import Recipe, export_bundle
from so_arm_policy.learn.families import FAMILIES, family_config, make_expert
from so_arm_policy.learn.families.expert import ActionExpert, ExpertConfig
from so_arm_policy.learn.scene_encoder import SceneEncoder, SceneEncoderConfig
from so_arm_policy.learn.train import frozen
from so_arm_policy.policy.bundle import TOKENIZER
from so_arm_policy.policy.manifest import Manifest, read_manifest
from so_arm_policy.robot.description import load_robot

FILE_NAME, SCENE_FACTS = "run.json", "scene.json"
HISTORY = ("command", "commit", "scenes", "scene_minutes", "action_minutes", "scene_from", "action_from")


@dataclass(frozen=True, kw_only=True)
class RunNote:
    """What the checkpoints of one family of a run are, in `run`/FAMILY/run.json.

    name: of the bundle; robot: its description's name; words, dt_s: as in a manifest; expert: sizes of the family's
    config; training: what the manifest is to say of it.
    """

    name: str
    tasks: tuple[str, ...]
    robot: str
    words: tuple[str, ...]
    dt_s: float
    encoder: SceneEncoderConfig
    family: str
    expert: dict[str, Any]
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def expert_config(self) -> ExpertConfig:
        """Sizes of the expert. Raises ConfigError."""
        return from_mapping(family_config(self.family), self.expert, "run.expert")

    def save(self, folder: Path) -> None:
        """Write `folder`/run.json, whole or not at all, unless it says all of this already. Raises InputError."""
        if (folder / FILE_NAME).exists() and self._is_said_by(read_note(folder)):
            return
        partial = folder / f"{FILE_NAME}.{os.getpid()}.partial"
        try:
            partial.write_text(json.dumps(to_mapping(self), indent=1) + "\n", encoding="utf-8")
            partial.replace(folder / FILE_NAME)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise InputError(f"{folder / FILE_NAME}: got {error.strerror or error}, expected to write it") from error

    def _is_said_by(self, other: "RunNote") -> bool:
        known = {name: other.training.get(name) for name in self.training}
        return to_mapping(replace(other, training=known)) == to_mapping(self)


def read_note(folder: Path) -> RunNote:
    """Return what `folder`/run.json says. Raises InputError."""
    path = folder / FILE_NAME
    try:
        return from_mapping(RunNote, json.loads(path.read_text(encoding="utf-8")), "run")
    except (OSError, ValueError, ConfigError) as error:
        raise InputError(f"{path}: got {error}, expected the note of a run of `so-arm train`") from error


def keep_scene_facts(run: Path, facts: dict[str, Any]) -> None:
    """Write what makes System 2 beside it, before it is trained and after; other families of `run` find it trained.

    Raises InputError.
    """
    path = run / SCENE_FACTS
    if path.exists():
        said = _read_facts(path)
        of_another = any(said.get(name) != facts.get(name) for name in ("command", "commit"))
        if of_another or all(said.get(name) == fact for name, fact in facts.items()):
            return
    elif path.with_suffix(".pt").exists():
        return
    partial = path.with_name(f"{SCENE_FACTS}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"{path}: got {error.strerror or error}, expected to write it") from error


def history(checkpoint: Path) -> dict[str, Any]:
    """Return how a checkpoint, or a bundle, was made: command, commit and what it began from; what is said beside it.

    Raises InputError for notes that cannot be read, BundleError for such a manifest.
    """
    if checkpoint.is_dir():
        manifest = read_manifest(checkpoint)
        return {"bundle": manifest.id} | _told(manifest.training)
    facts = checkpoint.with_suffix(".json")
    notes = [*checkpoint.parent.glob(FILE_NAME), *sorted(checkpoint.parent.glob(f"*/{FILE_NAME}"))]
    training: dict[str, Any] = {}
    if facts.exists():
        training = _read_facts(facts)
    elif notes:
        training = read_note(notes[0].parent).training
    return _told(training)


def tokenizer_of(source: Path) -> Path | None:
    """Return the tokenizer of the System 2 in a checkpoint of a run, or in a bundle; None where there is none."""
    path = source / TOKENIZER if source.is_dir() else source.with_name(TOKENIZER)
    return path if path.exists() else None


def _told(training: dict[str, Any]) -> dict[str, Any]:
    return {name: training[name] for name in HISTORY if name in training}


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: got {error}, expected what made the checkpoint beside it") from error
    if not isinstance(facts, dict):
        raise InputError(f"{path}: got {type(facts).__name__}, expected what made the checkpoint beside it")
    return facts


def this_commit() -> str:
    """Return the commit of the source tree around the working directory, "unknown" without one."""
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def export_run(run: Path, family: str | None = None, out: Path | None = None) -> tuple[Manifest, Path]:
    """Export the averaged weights of the last checkpoints of `run`; returns the manifest and the bundle's folder.

    family: needed where the run has trained several; out: by default out/bundles/NAME_FAMILY. Raises InputError where
    nothing is trained, ConfigError, BundleError.
    """
    folder = _family_folder(run, family)
    note = read_note(folder)
    encoder, expert = SceneEncoder(note.encoder), make_expert(note.expert_config)
    _load(encoder, run / "scene.pt", "module.encoder.")
    steps = _load(expert, folder / "action.pt", "module.expert.")
    recipe = Recipe(
        name=note.name,
        tasks=note.tasks,
        corpus=note.words,
        dt_s=note.dt_s,
        training=note.training | {"exported_at_step": steps},
    )
    out = out or Path("out") / "bundles" / f"{note.name}_{note.family}"
    manifest = export_bundle(encoder, expert, load_robot(note.robot), recipe, run / "tokenizer.json", out)
    return manifest, out


def _family_folder(run: Path, family: str | None) -> Path:
    if not run.is_dir():
        raise InputError(f"{run}: got no such folder, expected a run of `so-arm train`")
    if family is not None:
        family_config(family)
    there = [name for name in FAMILIES if (run / name / FILE_NAME).exists()]
    chosen = [name for name in there if family in (None, name)]
    if len(chosen) != 1:
        wanted = "one of them as --family" if len(there) > 1 else "a run that `so-arm train` has begun"
        raise InputError(f"{run}: got families {there}{f', not {family!r}' if family else ''}, expected {wanted}")
    return run / chosen[0]


def _load(module: ActionExpert | SceneEncoder, path: Path, prefix: str) -> int:
    """Load the averaged weights below `prefix` in checkpoint `path`; returns the steps they were trained for."""
    if not path.exists():
        raise InputError(f"{path}: got no such checkpoint, expected a trained run; `so-arm train` makes it")
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        weights = {
            name.removeprefix(prefix): value for name, value in state["averaged"].items() if name.startswith(prefix)
        }
        module.load_state_dict(weights)
        steps = int(state["effort"]["steps"])
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        first_line = str(error).partition("\n")[0]
        raise InputError(f"{path}: got {first_line}, expected a checkpoint of the sizes in {FILE_NAME}") from error
    frozen(module)
    return steps
