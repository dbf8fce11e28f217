"""A policy bundle small enough to make in a test, whose two real ONNX graphs compute something a test can check."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.policy.bundle import TOKENIZER, file_hash, write_bundle_files
from so_arm_policy.policy.graphs import GraphSpec, system1_spec, system2_spec
from so_arm_policy.policy.manifest import Manifest, Normalisation, read_manifest, write_manifest
from so_arm_policy.policy.tokenizer import Tokenizer, train_tokenizer, words_of

CORPUS = ("touch the red cube", "touch the green cube", "touch the blue cube")
REACH_CORPUS = (*CORPUS, "reach for the yellow cube", "go to the yellow cube")
STEP = np.float32(0.01)
ONNX_TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int64": TensorProto.INT64}


def tiny_manifest(robot: RobotConfig, **changes: object) -> Manifest:
    """Return a manifest for `robot`; `changes` replace single entries."""
    zeros, ones = (0.0,) * len(robot.joints), (1.0,) * len(robot.joints)
    entries: dict[str, object] = {
        "id": "tiny",
        "family": "flow",
        "tasks": ("reach",),
        "robot": robot.name,
        "joints": robot.joint_names,
        "units": "rad",
        "cameras": robot.camera_names,
        "image_height": 12,
        "image_width": 16,
        "max_tokens": 8,
        "words": words_of(CORPUS),
        "horizon": 16,
        "dt_s": 1 / 30,
        "prefix": 4,
        "passes": 1,
        "noise_shape": (16, len(robot.joints)),
        "noise_std": 1.0,
        "context_shape": (2, 2, 1, 4, 8),
        "infer_every": 2,
        "normalisation": Normalisation(state_mean=zeros, state_std=ones, action_std=ones),
    }
    return Manifest(**{**entries, **changes})  # type: ignore[arg-type]


def system2_outputs(manifest: Manifest, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the tiny system2.onnx computes: keys and values all equal to mean(images) / 255 + mean(state)."""
    pixels = feed["images"].astype(np.float32) / np.float32(255)
    level = pixels.mean() + feed["state"].mean()
    first_tokens = feed["tokens"][:3].astype(np.float32)
    keys_values = np.full(manifest.context_shape, level, dtype=np.float32)
    return {"keys_values": keys_values, "grounding": first_tokens, "attention": pixels.mean(axis=3)}


def system1_outputs(manifest: Manifest, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the tiny system1.onnx computes: the prefix, then on from its end by STEP * mean(keys_values) a row."""
    rows = np.arange(1, manifest.horizon - manifest.prefix + 1, dtype=np.float32)[:, None]
    ahead = feed["prefix"][-1:] + rows * STEP * feed["keys_values"].mean() + feed["noise"][manifest.prefix :] * 1e-4
    return {"positions": np.concatenate([feed["prefix"], ahead]).astype(np.float32)}


def example_feed(spec: GraphSpec, seed: int = 0) -> dict[str, np.ndarray]:
    """Return random inputs that fit `spec`."""
    random = np.random.default_rng(seed)
    feed = {}
    for name, tensor in spec.inputs.items():
        shape = tuple(size or 1 for size in tensor.shape)
        whole = tensor.dtype != "float32"
        values = random.integers(1, 9, shape) if whole else random.standard_normal(shape)
        feed[name] = values.astype(tensor.dtype)
    return feed


def system2_model(manifest: Manifest, spec: GraphSpec | None = None) -> onnx.ModelProto:
    """Build system2.onnx; `spec` replaces names, types and shapes at its border."""
    spec = spec or system2_spec(manifest)
    images, tokens, state = spec.inputs
    constants = {
        "full": np.array(manifest.context_shape, dtype=np.int64),
        "scale": np.array(255, dtype=np.float32),
        "three": np.array([3], dtype=np.int64),
        "zero": np.array([0], dtype=np.int64),
        "channel": np.array([3], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Cast", [images], ["float_images"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float_images", "scale"], ["pixels"]),
        helper.make_node("ReduceMean", ["pixels"], ["brightness"], keepdims=0),
        helper.make_node("ReduceMean", [state], ["pose"], keepdims=0),
        helper.make_node("Add", ["brightness", "pose"], ["level"]),
        helper.make_node("Expand", ["level", "full"], ["keys_values"]),
        helper.make_node("Cast", [tokens], ["float_tokens"], to=TensorProto.FLOAT),
        helper.make_node("Slice", ["float_tokens", "zero", "three"], ["grounding"]),
        helper.make_node("ReduceMean", ["pixels", "channel"], ["attention"], keepdims=0),
    ]
    rows = {"attention": (len(manifest.cameras), manifest.image_height, manifest.image_width)}
    return _model("system2", nodes, constants, spec, rows)


def system1_model(manifest: Manifest, spec: GraphSpec | None = None) -> onnx.ModelProto:
    """Build system1.onnx; `spec` replaces names, types and shapes at its border."""
    spec = spec or system1_spec(manifest)
    keys_values, state, noise, prefix = spec.inputs
    ahead = manifest.horizon - manifest.prefix
    constants = {
        "rows": np.arange(1, ahead + 1, dtype=np.float32)[:, None] * STEP,
        "last": np.array([manifest.prefix - 1], dtype=np.int64),
        "end": np.array([manifest.prefix], dtype=np.int64),
        "far": np.array([manifest.horizon], dtype=np.int64),
        "small": np.array(1e-4, dtype=np.float32),
        "nothing": np.array(0, dtype=np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", [keys_values], ["level"], keepdims=0),
        helper.make_node("Mul", ["rows", "level"], ["steps"]),
        helper.make_node("Slice", [prefix, "last", "end"], ["from"]),
        helper.make_node("Add", ["from", "steps"], ["smooth"]),
        helper.make_node("Slice", [noise, "end", "far"], ["free_noise"]),
        helper.make_node("Mul", ["free_noise", "small"], ["tremble"]),
        helper.make_node("Mul", [state, "nothing"], ["no_state"]),
        helper.make_node("Add", ["smooth", "tremble"], ["trembling"]),
        helper.make_node("Add", ["trembling", "no_state"], ["ahead"]),
        helper.make_node("Concat", [prefix, "ahead"], list(spec.outputs), axis=0),
    ]
    return _model("system1", nodes, constants, spec, {})


def write_tiny_bundle(folder: Path, robot: RobotConfig, corpus: Sequence[str] = CORPUS, **changes: object) -> Manifest:
    """Write a complete bundle for `robot` into `folder`; `changes` replace entries. Returns its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = tiny_manifest(robot, **{"words": words_of(corpus), **changes})
    onnx.save(system2_model(manifest), folder / "system2.onnx")
    onnx.save(system1_model(manifest), folder / "system1.onnx")
    train_tokenizer(corpus, folder / TOKENIZER)
    Tokenizer(folder / TOKENIZER, manifest.words, manifest.max_tokens)
    return finish(folder, manifest)


def finish(folder: Path, manifest: Manifest) -> Manifest:
    """Write golden file, hashes and manifest for whatever graphs lie in `folder`."""
    feed1, feed2 = example_feed(system1_spec(manifest), 1), example_feed(system2_spec(manifest), 2)
    golden1 = {**feed1, **system1_outputs(manifest, feed1)}
    golden2 = {**feed2, **system2_outputs(manifest, feed2)}
    return write_bundle_files(folder, manifest, golden1, golden2)


def rehash(folder: Path) -> None:
    """Make the manifest agree with damaged files, as one who damages on purpose would."""
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, files={name: file_hash(folder / name) for name in manifest.files}))


def _model(
    name: str,
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    spec: GraphSpec,
    known_sizes: dict[str, tuple[int, ...]],
) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info(n, ONNX_TYPES[t.dtype], t.shape) for n, t in spec.inputs.items()]
    outputs = [
        helper.make_tensor_value_info(n, ONNX_TYPES[t.dtype], known_sizes.get(n, t.shape))
        for n, t in spec.outputs.items()
    ]
    values = [numpy_helper.from_array(array, constant) for constant, array in constants.items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
