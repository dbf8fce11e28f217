"""The weights that a training begins from: those of another run's checkpoint, or of a bundle, read from its graphs.

A graph names few of its weights as the networks do, and holds many transposed or cut. Which number of it is which
weight is seen by exporting networks of the same sizes whose weights are all different numbers. What no graph holds
begins anew: what only training needs (the posterior of `act`), and what an exporter works out once and for all (the
layer of `flow` and `diffusion` that reads the denoising time).
"""

import dataclasses
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.learn.export import Graph, graphs, system1_graph
from so_arm_policy.learn.families import family_config, make_expert
from so_arm_policy.learn.families.expert import ActionExpert, ExpertConfig
from so_arm_policy.learn.loop import UNREADABLE
from so_arm_policy.learn.scene_encoder import SceneEncoder, SceneEncoderConfig
from so_arm_policy.policy.bundle import Bundle, load_bundle
from so_arm_policy.policy.golden import FILE_NAME as GOLDEN
from so_arm_policy.policy.golden import TOLERANCE, read_golden
from so_arm_policy.policy.graphs import system1_spec, system2_spec

FIRST = 2**20  # of the numbers that stand for weights; no constant of a graph is as large
MOST = 2**24  # float32 counts no further
GRAPHS = "system2.onnx", "system1.onnx"
Arrays = Mapping[str, npt.NDArray[Any]]


def weights_from(source: Path, encoder: SceneEncoderConfig) -> dict[str, Tensor]:
    """Return the averaged weights of a checkpoint, or those of the bundle in a folder, by name.

    Names begin with "encoder." or "expert.". encoder: sizes of System 2, which a bundle does not say; those of System 1
    are the default ones of its family. Raises InputError and BundleError.
    """
    return restored(load_bundle(source), encoder).weights() if source.is_dir() else _averaged(source)


def adopt(module: nn.Module, given: Mapping[str, Tensor], source: Path) -> list[str]:
    """Take the weights `given` by `source` into `module`, by name and shape.

    Returns the names of those that are not given, which begin anew. Raises InputError when none is.
    """
    own = module.state_dict()
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    if not fitting:
        raise InputError(f"{source}: got weights {list(given)[:3]}, expected some of {list(own)[:3]}")
    module.load_state_dict(own | fitting)
    return sorted(own.keys() - fitting.keys())


@dataclass(frozen=True)
class Restored:
    """The networks of a bundle. anew: names of the weights that its graphs do not hold; they are random."""

    encoder: SceneEncoder
    expert: ActionExpert
    anew: frozenset[str]

    def weights(self) -> dict[str, Tensor]:
        """Return the weights that its graphs hold, by names that begin with "encoder." or "expert."."""
        state = nn.ModuleDict({"encoder": self.encoder, "expert": self.expert}).state_dict()
        return {name: value for name, value in state.items() if name not in self.anew}


def restored(bundle: Bundle, encoder: SceneEncoderConfig) -> Restored:
    """Return the networks of `bundle`, with the weights in its graphs.

    Raises InputError when they are of other sizes, or the weights do not give its golden outputs.
    """
    try:
        system2, system1 = _networks(bundle, encoder)
    except ConfigError as error:
        raise InputError(f"{bundle.path}: got {error}, expected a bundle of networks of these sizes") from error
    module = nn.ModuleDict({"encoder": system2, "expert": system1})
    both = golden_graphs(bundle, system2, system1)
    anew = _fill(module, both, bundle)
    for (name, graph), part in zip(both.items(), ("encoder.", "expert."), strict=True):
        if not any(each.startswith(part) for each in anew):
            _check(bundle, name, graph)
    return Restored(system2.eval(), system1.eval(), anew)


def _fill(module: nn.Module, both: Mapping[str, Graph], bundle: Bundle) -> frozenset[str]:
    """Give `module` the weights in the graphs of `bundle`. both: graphs of `module`, by file name.

    Returns the names of the weights that the graphs do not hold at all; they, and parts that no graph holds, stay as
    they are.
    """
    fresh = {name: value.clone() for name, value in module.state_dict().items()}
    found = np.full(_number(module), np.nan, dtype=np.float32)
    numbers = {name: value.numpy().astype(np.int64) for name, value in module.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        for name, graph in both.items():
            path = Path(folder) / name
            graph.export(path)
            _read(_initializers(path.read_bytes()), _initializers(bundle.read(name)), found, bundle)
    values = {name: torch.from_numpy(found[places]) for name, places in numbers.items()}
    module.load_state_dict({name: torch.where(value.isnan(), fresh[name], value) for name, value in values.items()})
    return frozenset(name for name, value in values.items() if bool(value.isnan().all()))


def _networks(bundle: Bundle, encoder: SceneEncoderConfig) -> tuple[SceneEncoder, ActionExpert]:
    said = bundle.manifest
    layers, _, heads, tokens, size = said.context_shape
    sizes: dict[str, Any] = {
        "joints": len(said.joints),
        "horizon": said.horizon,
        "prefix": said.prefix,
        "context_tokens": tokens,
        "context_width": encoder.width,
        "width": heads * size,
        "heads": heads,
        "layers": layers,
        "steps": said.passes,
    }
    kind = family_config(said.family)
    known = {field.name for field in dataclasses.fields(kind)}
    expert: ExpertConfig = kind(**{name: value for name, value in sizes.items() if name in known})
    seen = dataclasses.replace(
        encoder,
        cameras=len(said.cameras),
        joints=len(said.joints),
        image_height=said.image_height,
        image_width=said.image_width,
        max_tokens=said.max_tokens,
        vocabulary=bundle.tokenizer().vocabulary,
    )
    return SceneEncoder(seen), make_expert(expert)


def _number(module: nn.Module) -> int:
    """Give every weight of `module` a number of its own, from FIRST on; returns the first one that is not given."""
    number = FIRST
    for value in module.state_dict().values():
        value.copy_(torch.arange(number, number + value.numel()).reshape(value.shape))
        number += value.numel()
    if number >= MOST:
        raise ConfigError(f"{number - FIRST} weights, expected fewer than {MOST - FIRST}")
    return number


def golden_graphs(bundle: Bundle, encoder: SceneEncoder, expert: ActionExpert) -> dict[str, Graph]:
    """Return both networks as graphs, with the golden inputs of `bundle`, by file name: System 2, then System 1."""
    system2, _ = graphs(encoder, expert, np.zeros(expert.config.joints))
    golden = {name: golden_arrays(bundle, name) for name in GRAPHS}
    given = {name: torch.from_numpy(golden["system1.onnx"][name]) for name in ("keys_values", "state")}
    system1 = system1_graph(expert, given["keys_values"], given["state"], torch.Generator())
    return {
        name: dataclasses.replace(graph, inputs={each: torch.from_numpy(golden[name][each]) for each in graph.inputs})
        for name, graph in zip(GRAPHS, (system2, system1), strict=True)
    }


def golden_arrays(bundle: Bundle, graph: str) -> Arrays:
    """Return the golden inputs and outputs of one of GRAPHS, by name. Raises BundleError."""
    spec = (system2_spec if graph == GRAPHS[0] else system1_spec)(bundle.manifest)
    return read_golden(bundle.read(GOLDEN), spec)


def _initializers(data: bytes) -> Arrays:
    graph = onnx.load_from_string(data).graph
    return {each.name: numpy_helper.to_array(each) for each in graph.initializer}


def _read(numbers: Arrays, values: Arrays, found: npt.NDArray[np.float32], bundle: Bundle) -> None:
    """Enter into `found`, at each number that stands for a weight, the value that the bundle's graph has there."""
    for name, array in numbers.items():
        value = values.get(name)
        if value is None or value.shape != array.shape or value.dtype != array.dtype:
            got = "none" if value is None else f"{value.dtype} {value.shape}"
            raise InputError(
                f"{bundle.path}: got {got} for {name!r} of its graph, expected {array.dtype} {array.shape}: "
                "networks of these sizes, exported by this version"
            )
        is_weights = array.dtype == np.float32 and array.size > 0
        if is_weights and array.min() >= FIRST and array.max() < len(found):
            found[array.astype(np.int64)] = value


def _check(bundle: Bundle, name: str, graph: Graph) -> None:
    golden = golden_arrays(bundle, name)
    for output, got in graph.arrays().items():
        off = float(np.abs(got.astype(np.float64) - golden[output].astype(np.float64)).max())
        if not off <= TOLERANCE:
            raise InputError(
                f"{bundle.path / name}: got weights that miss its golden {output} by {off:.3g}, "
                f"expected at most {TOLERANCE:g}: networks of these sizes, exported by this version"
            )


def _averaged(checkpoint: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(checkpoint, weights_only=True, map_location="cpu")["averaged"]
        return {name.removeprefix("module."): value for name, value in state.items()}
    except (*UNREADABLE, AttributeError) as error:
        first_line = str(error).partition("\n")[0]
        raise InputError(f"{checkpoint}: got {first_line}, expected a checkpoint of a training") from error
