"""From trained networks to a bundle: two ONNX graphs, golden arrays, manifest, and a parity check."""

import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
from torch import Tensor, nn

from so_arm_policy.core.errors import BundleError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.learn.families.expert import ActionExpert
from so_arm_policy.learn.int8 import DIFFERENCE as INT8_DIFFERENCE
from so_arm_policy.learn.int8 import FILE_NAME as INT8
from so_arm_policy.learn.int8 import quantised
from so_arm_policy.learn.onnx_traces import without_traces
from so_arm_policy.learn.scene_encoder import SceneEncoder
from so_arm_policy.policy.bundle import write_bundle_files
from so_arm_policy.policy.manifest import Manifest, Normalisation
from so_arm_policy.policy.tokenizer import words_of

OPSET = 23  # the first with Attention and RMSNormalization as standard operators
PARITY = 1e-5  # between torch and onnxruntime, of the largest output where that is over 1


class System2Graph(nn.Module):
    """`encode`: one set of pictures, one instruction, one state; no batch axis."""

    def __init__(self, encoder: SceneEncoder, expert: ActionExpert) -> None:
        """Join the encoder with the expert's projection of its context."""
        super().__init__()
        self.encoder, self.expert = encoder, expert

    def forward(self, images: Tensor, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """images (C, H, W, 3) uint8, tokens (L,), state (n,) to keys_values, grounding (3,), attention (C, h, w)."""
        features = self.encoder(images.unsqueeze(0), tokens.unsqueeze(0), state.unsqueeze(0))
        rows, columns = self.encoder.config.grid
        attention = features.pointers[:, 0].softmax(-1).reshape(self.encoder.config.cameras, rows, columns)
        return self.expert.project(features.tokens).squeeze(0), features.source.squeeze(0), attention


class System1Graph(nn.Module):
    """`act`: one chunk; no batch axis."""

    def __init__(self, expert: ActionExpert) -> None:
        """Wrap the expert."""
        super().__init__()
        self.expert = expert

    def forward(self, keys_values: Tensor, state: Tensor, noise: Tensor, prefix: Tensor) -> Tensor:
        """keys_values (layers, 2, h, N, c), state (n,), noise, prefix (P, n). Returns positions (H, n) rad."""
        parts = (t.unsqueeze(0) for t in (keys_values, state, noise, prefix))
        return self.expert.act(*parts).squeeze(0)


class NoiselessSystem1Graph(System1Graph):
    """`act` of a family that needs no noise."""

    def forward(self, keys_values: Tensor, state: Tensor, prefix: Tensor) -> Tensor:  # type: ignore[override]
        """As System1Graph, without noise."""
        return super().forward(keys_values, state, torch.zeros(()), prefix)


@dataclass(frozen=True, kw_only=True)
class Graph:
    """One network as ONNX: example inputs by name, and the names of its outputs."""

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: Sequence[str]

    def export(self, path: Path, opset: int = OPSET) -> None:
        """Write `path`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                self.module.eval(),
                tuple(self.inputs.values()),
                input_names=list(self.inputs),
                output_names=list(self.outputs),
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
        assert program is not None
        path.write_bytes(without_traces(program.model_proto).SerializeToString())

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return inputs and torch's outputs, by name."""
        with torch.no_grad():
            result = self.module(*self.inputs.values())
        outputs = result if isinstance(result, tuple) else (result,)
        named = self.inputs | dict(zip(self.outputs, outputs, strict=True))
        return {name: value.numpy() for name, value in named.items()}

    def largest(self) -> float:
        """Return the largest output of torch on the example inputs, by size."""
        arrays = self.arrays()
        return max(float(np.abs(arrays[name].astype(np.float64)).max()) for name in self.outputs)

    def parity(self, path: Path) -> float:
        """Return the largest difference between torch and onnxruntime on the example inputs."""
        arrays = self.arrays()
        session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        got = session.run(list(self.outputs), {name: arrays[name] for name in self.inputs})
        return max(float(np.abs(g - arrays[name]).max()) for g, name in zip(got, self.outputs, strict=True))


def graphs(encoder: SceneEncoder, expert: ActionExpert, home: npt.NDArray[np.float64]) -> tuple[Graph, Graph]:
    """Return System 2 and System 1 with example inputs drawn from a fixed seed."""
    c, generator = encoder.config, torch.Generator().manual_seed(0)
    shape = (c.cameras, c.image_height, c.image_width, 3)
    state = torch.tensor(home, dtype=torch.float32)
    words = torch.zeros(c.max_tokens, dtype=torch.int64)
    words[:4] = torch.tensor([2, 3, 4, 5])
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    system2 = Graph(
        module=System2Graph(encoder, expert),
        inputs={"images": images, "tokens": words, "state": state},
        outputs=("keys_values", "grounding", "attention"),
    )
    with torch.no_grad():
        keys_values = system2.module(*system2.inputs.values())[0]
    return system2, system1_graph(expert, keys_values, state, generator)


def system1_graph(expert: ActionExpert, keys_values: Tensor, state: Tensor, generator: torch.Generator) -> Graph:
    """Return System 1 with these inputs, at rest, and noise drawn from `generator`."""
    inputs = {"keys_values": keys_values, "state": state}
    module = System1Graph(expert) if expert.config.noise_shape else NoiselessSystem1Graph(expert)
    if expert.config.noise_shape:
        inputs["noise"] = torch.randn(expert.config.noise_shape, generator=generator)
    inputs["prefix"] = state.repeat(expert.config.prefix, 1)
    return Graph(module=module, inputs=inputs, outputs=("positions",))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the manifest says about a training."""

    name: str
    tasks: tuple[str, ...]
    corpus: Sequence[str]
    dt_s: float
    training: dict[str, Any]


def export_bundle(
    encoder: SceneEncoder, expert: ActionExpert, robot: RobotConfig, recipe: Recipe, tokenizer: Path, folder: Path
) -> Manifest:
    """Write the bundle to `folder`, whole or not at all. Raises BundleError when ONNX differs from torch."""
    with whole(folder) as partial:
        system2, system1 = graphs(encoder, expert, robot.home)
        parity = {
            file: checked_export(graph, partial / file)
            for graph, file in ((system2, "system2.onnx"), (system1, "system1.onnx"))
        }
        (partial / INT8).write_bytes(quantised((partial / "system1.onnx").read_bytes()))
        off = {INT8_DIFFERENCE: system1.parity(partial / INT8)}
        shutil.copy(tokenizer, partial / "tokenizer.json")
        manifest = _manifest(encoder, expert, robot, recipe, {"parity_max_abs": parity} | off, digest(partial))
        return write_bundle_files(partial, manifest, system1.arrays(), system2.arrays())


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """Give a folder to write into, which takes the place of `folder` at the end, unless something is raised."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        partial = Path(name)
        yield partial
        partial.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
        partial.mkdir()  # for the context manager to remove


def checked_export(graph: Graph, path: Path) -> float:
    """Write `path`; returns how far it is from torch. Raises BundleError when that is too far."""
    graph.export(path)
    parity, limit = graph.parity(path), PARITY * max(1.0, graph.largest())
    if not parity <= limit:
        raise BundleError(f"{path.name}: onnxruntime differs from torch by {parity:.2e}, expected {limit:.0e}")
    return parity


def digest(folder: Path) -> str:
    """Return eight hex digits that name exactly the graphs in `folder`."""
    content = b"".join((folder / name).read_bytes() for name in ("system1.onnx", "system2.onnx"))
    return hashlib.sha256(content).hexdigest()[:8]


def _manifest(
    encoder: SceneEncoder,
    expert: ActionExpert,
    robot: RobotConfig,
    recipe: Recipe,
    parity: dict[str, Any],
    name: str,
) -> Manifest:
    e, f = encoder.config, expert.config
    sizes = {
        "system2_parameters": _parameters(encoder) + _parameters(expert.context),
        "system1_parameters": _parameters(expert) - _parameters(expert.context),
    }
    return Manifest(
        id=f"{recipe.name}-{expert.family}-{name}",
        family=expert.family,
        tasks=recipe.tasks,
        robot=robot.name,
        joints=robot.joint_names,
        units="rad",
        cameras=robot.camera_names,
        image_height=e.image_height,
        image_width=e.image_width,
        max_tokens=e.max_tokens,
        words=words_of(recipe.corpus),
        horizon=f.horizon,
        dt_s=recipe.dt_s,
        prefix=f.prefix,
        passes=f.passes,
        noise_shape=f.noise_shape,
        noise_std=expert.noise_std,
        context_shape=f.context_shape,
        infer_every=expert.infer_every,
        normalisation=Normalisation(
            state_mean=tuple(expert.coding.state_mean.tolist()),
            state_std=tuple(expert.coding.state_std.tolist()),
            action_std=tuple(expert.coding.row_std[-1].tolist()),
        ),
        training=recipe.training | sizes | parity,
    )


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
