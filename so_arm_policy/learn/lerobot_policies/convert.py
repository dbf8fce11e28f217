"""From a LeRobot checkpoint to a bundle: two ONNX graphs in radians."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch

from so_arm_policy.core.errors import BundleError, ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.learn.datasets.lerobot_format import ACTION, STATE
from so_arm_policy.learn.export import Graph, checked_export, digest, whole
from so_arm_policy.learn.lerobot_policies.folder import Checkpoint, read_checkpoint
from so_arm_policy.learn.lerobot_policies.kinds import KINDS
from so_arm_policy.learn.lerobot_policies.loading import load_policy, prepare
from so_arm_policy.learn.lerobot_policies.order import Order, match_cameras
from so_arm_policy.learn.lerobot_policies.pace import Pace
from so_arm_policy.learn.lerobot_policies.parity import Parity, measure
from so_arm_policy.learn.lerobot_policies.parts import Context, Converted, JointFrame, Joints, Pictures
from so_arm_policy.learn.lerobot_policies.reference import Reference
from so_arm_policy.learn.lerobot_policies.sentences import write_tokenizer
from so_arm_policy.policy.bundle import TOKENIZER, load_bundle, write_bundle_files
from so_arm_policy.policy.manifest import Manifest, Normalisation, write_manifest
from so_arm_policy.policy.tokenizer import words_of

LONGEST = 48  # tokens of an instruction, as many as SmolVLA's
RUNS = 20  # inferences that are timed


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import made. pace: of System 1 on this machine."""

    manifest: Manifest
    parity: Parity
    pace: Pace


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A checkpoint with what it was fitted to. cameras: its column -> the robot's camera."""

    checkpoint: Checkpoint
    robot: RobotConfig
    order: Order
    cameras: dict[str, str]
    frame: JointFrame
    version: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every picture."""
        return next(iter(self.checkpoint.pictures.values()))


def import_policy(path: Path, folder: Path, robot: RobotConfig, order: Order) -> Imported:
    """Make the bundle `folder` of the checkpoint `path`, whole or not at all.

    Raises InputError for what of the checkpoint cannot be used, ConfigError for an order that does not fit it,
    BundleError when onnxruntime differs from LeRobot by more than it should, ModuleNotFoundError without lerobot.
    """
    if folder.exists() and not (folder / "manifest.json").is_file():
        raise ConfigError(f"{folder}: got something that is no bundle, expected a new folder or a bundle to replace")
    checkpoint = read_checkpoint(path, len(robot.joints))
    order.check(checkpoint)
    cameras, frame = match_cameras(checkpoint, robot, order.cameras), order.frame(robot)
    source = _Source(checkpoint=checkpoint, robot=robot, order=order, cameras=cameras, frame=frame, version=prepare())
    policy = load_policy(checkpoint, vlm=order.vlm, steps=order.steps)
    with whole(folder) as partial:
        return _write(policy, source, partial)


def _write(policy: Any, source: _Source, folder: Path) -> Imported:
    """Write the bundle, load it back with all checks, and compare it with the policy."""
    order, robot = source.order, source.robot
    tokens = write_tokenizer(folder / TOKENIZER, order.instructions, order.vlm, LONGEST)
    joints = Joints(source.checkpoint, source.frame)
    pictures = Pictures(source.checkpoint, tuple(source.cameras))
    parts = KINDS[source.checkpoint.kind].convert(policy, joints, pictures, source.size, LONGEST)
    system2, system1 = _graphs(parts, source, tokens)
    differences = {
        name: _exported(graph, folder / name) for name, graph in (("system2.onnx", system2), ("system1.onnx", system1))
    }
    pace = Pace.of(parts, order.fps, _inference_ms(folder / "system1.onnx", system1))
    manifest = _manifest(parts, source, pace, digest(folder))
    write_bundle_files(folder, manifest, system1.arrays(), system2.arrays())
    bundle = load_bundle(folder, robot)
    reference = Reference(policy, source.checkpoint, source.frame, tuple(source.cameras))
    parity = measure(bundle, robot, reference, order.instructions, parts.history)
    notes = {"parity_max_abs": differences, "lerobot_parity_max_rad": parity.largest_rad}
    manifest = replace(bundle.manifest, training=bundle.manifest.training | notes)
    write_manifest(folder, manifest)
    return Imported(manifest=manifest, parity=parity, pace=pace)


def _exported(graph: Graph, path: Path) -> float:
    """Write `path`; returns how far it is from torch. Raises BundleError, also where lerobot itself cannot run."""
    try:
        return checked_export(graph, path)
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise BundleError(f"{path.name}: got {reason}, expected a network that lerobot can run") from error


def _graphs(parts: Converted, source: _Source, tokens: Any) -> tuple[Graph, Graph]:
    """Return System 2 and System 1 with example inputs drawn from a fixed seed."""
    generator = torch.Generator().manual_seed(0)
    shape = (len(source.cameras), *source.size, 3)
    state = torch.tensor(source.robot.home, dtype=torch.float32)
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    system2 = Graph(
        module=Context(parts.encoder, len(source.cameras)),
        inputs={"images": images, "tokens": torch.from_numpy(tokens), "state": state},
        outputs=("keys_values", "grounding", "attention"),
    )
    with torch.no_grad():
        keys_values = system2.module(*system2.inputs.values())[0]
    system1 = Graph(
        module=parts.actor,
        inputs={
            "keys_values": keys_values,
            "state": state,
            "noise": torch.randn(parts.noise_shape, generator=generator),
            "prefix": state.repeat(parts.prefix, 1),
        },
        outputs=("positions",),
    )
    return system2, system1


def _inference_ms(path: Path, graph: Graph) -> float:
    """Return what nine of ten inferences take at most, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    feed, took = {name: value.numpy() for name, value in graph.inputs.items()}, []
    for _ in range(RUNS):
        began = time.perf_counter_ns()
        session.run(None, feed)
        took.append((time.perf_counter_ns() - began) / 1e6)
    return float(np.quantile(took[1:], 0.9))  # the first also settles memory


def _manifest(parts: Converted, source: _Source, pace: Pace, name: str) -> Manifest:
    order, robot = source.order, source.robot
    height, width = source.size
    return Manifest(
        id=f"{order.task}-{parts.family}-{name}",
        family=parts.family,
        tasks=(order.task,),
        robot=robot.name,
        joints=robot.joint_names,
        units="rad",
        cameras=tuple(source.cameras.values()),
        image_height=height,
        image_width=width,
        max_tokens=LONGEST,
        words=words_of(order.instructions),
        horizon=parts.horizon,
        dt_s=1.0 / order.fps,
        prefix=parts.prefix,
        passes=parts.passes,
        noise_shape=parts.noise_shape,
        noise_std=parts.noise_std,
        context_shape=parts.context_shape,
        infer_every=order.infer_every or pace.infer_every,
        normalisation=_normalisation(source.checkpoint, source.frame),
        training={
            "imported": f"lerobot {source.version}, {source.checkpoint.kind}",
            "sha256": source.checkpoint.origin(),
            "cameras": source.cameras,
            "units": str(order.units),
            "fps": order.fps,
            "system2_parameters": _parameters(parts.encoder),
            "system1_parameters": _parameters(parts.actor),
        },
    )


def _normalisation(checkpoint: Checkpoint, frame: JointFrame) -> Normalisation:
    """Return the statistics of state and action in radians and the robot's order."""
    state, action, columns = checkpoint.scales[STATE], checkpoint.scales[ACTION], list(frame.columns)
    return Normalisation(
        state_mean=tuple((state.shift[columns] * frame.scale + frame.offset).tolist()),
        state_std=tuple((state.width[columns] * frame.scale).tolist()),
        action_std=tuple(np.maximum(action.span[columns] * frame.scale, 1e-9).tolist()),
    )


def _parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
