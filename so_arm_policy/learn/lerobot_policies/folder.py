"""A LeRobot checkpoint on disk: its configuration, normalisation and weights, checked before anything is made of them.

Read are config.json, model.safetensors and, from lerobot 0.4 on, policy_preprocessor.json and policy_postprocessor.json
with their safetensors; before that, normalisation lay in buffers among the weights. Nothing is unpickled or fetched.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError
from so_arm_policy.learn.datasets.lerobot_format import ACTION, STATE, read_json
from so_arm_policy.learn.lerobot_policies.statistics import EPSILON, Scale, scale_of
from so_arm_policy.policy.bundle import file_hash

KINDS = ("act", "diffusion", "smolvla")
CONFIG, WEIGHTS = "config.json", "model.safetensors"
BEFORE, AFTER = "policy_preprocessor.json", "policy_postprocessor.json"
# Steps of the two pipelines that the bundle does itself, or that only say where tensors lie.
KNOWN_STEPS = (
    "rename_observations_processor",
    "to_batch_processor",
    "device_processor",
    "smolvla_new_line_processor",
    "tokenizer_processor",
    "normalizer_processor",
    "unnormalizer_processor",
)
IN_WEIGHTS = {"input": "normalize_inputs.buffer_", "output": "unnormalize_outputs.buffer_"}  # before 0.4
BUFFERS = (*IN_WEIGHTS.values(), "normalize_targets.buffer_")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


@dataclass(frozen=True)
class Checkpoint:
    """What a folder holds. pictures: column -> (height, width); joints: n; scales: column -> how it is scaled.

    piped: whether normalisation lies in pipelines of its own (lerobot 0.4) instead of among the weights.
    """

    path: Path
    kind: str
    config: dict[str, Any]
    pictures: dict[str, tuple[int, int]]
    joints: int
    scales: dict[str, Scale]
    piped: bool

    @property
    def weights(self) -> Path:
        """The file of the weights."""
        return self.path / WEIGHTS

    def origin(self) -> dict[str, str]:
        """Return the hashes of the files that a bundle of this is made from."""
        names = [name for name in (CONFIG, WEIGHTS, BEFORE, AFTER) if (self.path / name).is_file()]
        return {name: file_hash(self.path / name) for name in names}

    def buffers(self) -> dict[str, dict[str, Tensor]]:
        """Return the statistics among the weights by column, as lerobot before 0.4 has them."""
        found: dict[str, dict[str, Tensor]] = {}
        for key in (STATE, ACTION, *self.pictures):
            for start in IN_WEIGHTS.values():
                beginning = start + key.replace(".", "_") + "."
                stats = {name.removeprefix(beginning): tensor for name, tensor in _tensors(self.weights, beginning)}
                found[key] = found.get(key, {}) | stats
        return found


def read_checkpoint(path: Path, joints: int) -> Checkpoint:
    """Read and check a checkpoint for a robot of so many joints. Raises InputError."""
    if not path.is_dir():
        raise InputError(f"{path}: got no such folder, expected a LeRobot checkpoint ({CONFIG}, {WEIGHTS})")
    config = _object(path / CONFIG)
    kind = config.get("type")
    if kind not in KINDS:
        raise InputError(f"{path / CONFIG}: got policy type {kind!r}, expected one of {list(KINDS)}")
    if config.get("use_peft"):
        raise InputError(f"{path / CONFIG}: got an adapter (use_peft), expected whole weights: merge it into its model")
    features = _features(path / CONFIG, config)
    _check_joints(path / CONFIG, features, joints)
    pictures = _pictures(path / CONFIG, config, features)
    _check_weights(path)
    piped = (path / BEFORE).is_file()
    wanted = {STATE: features[STATE], **{key: features[key] for key in pictures}}
    said = _piped(path, BEFORE, "normalizer_processor") if piped else _buffered(path, config, wanted, "input")
    scales = {key: said.scale(key, *feature) for key, feature in wanted.items()}
    target = {ACTION: features[ACTION]}
    said = _piped(path, AFTER, "unnormalizer_processor") if piped else _buffered(path, config, target, "output")
    scales[ACTION] = said.scale(ACTION, *features[ACTION])
    return Checkpoint(path, str(kind), config, pictures, joints, scales, piped)


def _features(path: Path, config: dict[str, Any]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return type and shape of every column that the policy reads or says."""
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for part in ("input_features", "output_features"):
        features = config.get(part)
        if not isinstance(features, dict) or not features:
            raise InputError(f"{path}: got {part} {features!r}, expected columns with type and shape")
        for key, feature in features.items():
            kind, shape = (feature.get("type"), feature.get("shape")) if isinstance(feature, dict) else (None, None)
            fits = isinstance(shape, list) and shape and all(type(size) is int and size > 0 for size in shape)
            if not (isinstance(kind, str) and fits):
                raise InputError(f"{path}: got {part}.{key} {feature!r}, expected a type and a shape")
            found[key] = kind, tuple(shape or ())
    return found


def _check_joints(path: Path, features: dict[str, tuple[str, tuple[int, ...]]], joints: int) -> None:
    for key, kind in ((STATE, "STATE"), (ACTION, "ACTION")):
        if features.get(key, ("", ()))[0] != kind:
            raise InputError(f"{path}: got columns {sorted(features)}, expected {key!r} among them")
        shape = features[key][1]
        if shape != (joints,):
            raise InputError(f"{path}: got {key} of shape {shape}, expected ({joints},): one number for each joint")
    other = sorted(key for key, (kind, _) in features.items() if kind != "VISUAL" and key not in (STATE, ACTION))
    if other:
        raise InputError(f"{path}: got columns {other}, expected pictures, {STATE!r} and {ACTION!r} only")


def _pictures(
    path: Path, config: dict[str, Any], features: dict[str, tuple[str, tuple[int, ...]]]
) -> dict[str, tuple[int, int]]:
    """Return height and width of every camera's pictures; cameras that SmolVLA fills with nothing are left out."""
    empty = [f"observation.images.empty_camera_{i}" for i in range(int(config.get("empty_cameras") or 0))]
    shapes = {key: shape for key, (kind, shape) in features.items() if kind == "VISUAL" and key not in empty}
    wrong = {key: shape for key, shape in shapes.items() if len(shape) != 3 or shape[0] != 3}
    if wrong or not shapes:
        raise InputError(f"{path}: got pictures {wrong or 'of no camera'}, expected shapes (3, height, width)")
    return {key: (shape[1], shape[2]) for key, shape in shapes.items()}


def _check_weights(path: Path) -> None:
    """Raise InputError unless the weights are whole and finite."""
    if not (path / WEIGHTS).is_file():
        pickles = sorted(file.name for file in path.iterdir() if file.suffix in PICKLES)
        never = f"; {pickles} may be pickles, which are never loaded" if pickles else ""
        raise InputError(f"{path}: got no {WEIGHTS}, expected the weights{never}")
    for name, tensor in _tensors(path / WEIGHTS):
        # Buffers of normalisation that LeRobot never filled are infinite; those needed are checked by themselves.
        if not name.startswith(BUFFERS) and not torch.isfinite(tensor).all():
            raise InputError(f"{path / WEIGHTS}: got {name!r} with values that are not finite, expected finite ones")


def _tensors(path: Path, start: str = "") -> Iterator[tuple[str, Tensor]]:
    """Give the tensors whose names begin with `start`, one after the other."""
    try:
        with safe_open(path, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no mapping
                if name.startswith(start):
                    yield name, opened.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: got {error}, expected whole safetensors") from error


def _object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: got no such file, expected it in a LeRobot checkpoint")
    return read_json(path)


@dataclass(frozen=True)
class _Said:
    """What a checkpoint says of normalisation."""

    path: Path
    modes: dict[str, Any]
    stats: dict[str, dict[str, FloatArray]]
    epsilon: float = EPSILON

    def scale(self, key: str, kind: str, shape: tuple[int, ...]) -> Scale:
        mode = self.modes.get(kind, "IDENTITY")
        stats, read = self.stats.get(key), key != ACTION
        return scale_of(key, shape[0], str(mode), stats, self.epsilon, str(self.path), read=read)


def _piped(folder: Path, name: str, step_name: str) -> _Said:
    """Read normalisation from a pipeline's step, as lerobot 0.4 writes it."""
    path = folder / name
    steps = _object(path).get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise InputError(f"{path}: got steps {steps!r}, expected a list of steps")
    names = [step.get("registry_name") for step in steps]
    unknown = [each for each in names if each not in KNOWN_STEPS]
    if unknown or names.count(step_name) != 1:
        raise InputError(f"{path}: got steps {names}, expected one {step_name!r} and otherwise {list(KNOWN_STEPS)}")
    step = steps[names.index(step_name)]
    config, state = step.get("config"), step.get("state_file")
    modes = config.get("norm_map") if isinstance(config, dict) else None
    epsilon = config.get("eps", EPSILON) if isinstance(config, dict) else None
    if not isinstance(modes, dict) or not isinstance(epsilon, float) or not 0.0 < epsilon < 1.0:
        raise InputError(f"{path}: got config {config!r} of {step_name}, expected norm_map and 0 < eps < 1")
    if state is None:
        return _Said(path, modes, {}, epsilon)
    if not isinstance(state, str) or state != Path(state).name or not state.endswith(".safetensors"):
        raise InputError(f"{path}: got state_file {state!r}, expected a safetensors file of the folder")
    stats: dict[str, dict[str, FloatArray]] = {}
    for flat, tensor in _tensors(folder / state):
        key, _, statistic = flat.rpartition(".")
        stats.setdefault(key, {})[statistic] = tensor.double().numpy()
    return _Said(folder / state, modes, stats, epsilon)


def _buffered(folder: Path, config: dict[str, Any], keys: dict[str, Any], side: str) -> _Said:
    """Read normalisation from buffers among the weights, as lerobot wrote it before 0.4."""
    modes = config.get("normalization_mapping")
    if not isinstance(modes, dict):
        raise InputError(f"{folder / CONFIG}: got normalization_mapping {modes!r}, expected a mode for each type")
    tensors = dict(_tensors(folder / WEIGHTS, IN_WEIGHTS[side]))
    stats = {}
    for key in keys:
        start = IN_WEIGHTS[side] + key.replace(".", "_") + "."
        stats[key] = {n.removeprefix(start): t.double().numpy() for n, t in tensors.items() if n.startswith(start)}
    where = folder / WEIGHTS if tensors else folder / BEFORE
    return _Said(where, {k: v for k, v in modes.items() if isinstance(k, str)}, stats)
