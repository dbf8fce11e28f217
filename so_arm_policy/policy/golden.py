"""Golden inputs and outputs: proof that the graphs compute here what they computed where they were made."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from so_arm_policy.core.errors import BundleError
from so_arm_policy.policy.graphs import ORT_ERRORS, GraphSpec
from so_arm_policy.policy.npz import read_npz

FILE_NAME = "golden.npz"
TOLERANCE = 1e-4
MAX_BYTES = 256 << 20
Arrays = Mapping[str, npt.NDArray[np.generic]]


def write_golden(folder: Path, system1: Arrays, system2: Arrays) -> None:
    """Write `folder`/golden.npz from the inputs and outputs of both graphs, by name, in one mapping for each graph."""
    arrays = {
        f"{graph}/{name}": array
        for graph, part in (("system1", system1), ("system2", system2))
        for name, array in part.items()
    }
    np.savez(folder / FILE_NAME, **arrays)  # type: ignore[arg-type]


def read_golden(data: bytes, spec: GraphSpec) -> dict[str, npt.NDArray[np.generic]]:
    """Return the arrays stored for the graph of `spec`, by name. Raises BundleError on anything else than expected."""
    graph = spec.name.removesuffix(".onnx")
    wanted = {f"{graph}/{name}": tensor for name, tensor in {**spec.inputs, **spec.outputs}.items()}
    arrays = read_npz(data, FILE_NAME, wanted, MAX_BYTES)
    for name, tensor in wanted.items():
        if not tensor.accepts(str(arrays[name].dtype), arrays[name].shape):
            raise BundleError(f"{FILE_NAME}: got {name} {arrays[name].dtype} {arrays[name].shape}, expected {tensor}")
    return {name.removeprefix(f"{graph}/"): array for name, array in arrays.items()}


def check_golden(session: ort.InferenceSession, spec: GraphSpec, arrays: Arrays) -> None:
    """Run the graph on its golden inputs. Raises BundleError when an output is off by more than TOLERANCE."""
    names = list(spec.outputs)
    try:
        outputs = session.run(names, {name: arrays[name] for name in spec.inputs})
    except ORT_ERRORS as error:
        raise BundleError(f"{spec.name}: got {error}, expected it to run on its golden inputs") from error
    for name, got in zip(names, outputs, strict=True):
        if got.shape != arrays[name].shape:
            raise BundleError(f"{spec.name}: got {name} of shape {got.shape}, expected {arrays[name].shape}")
        error_size = float(np.max(np.abs(got.astype(np.float64) - arrays[name].astype(np.float64))))
        if not error_size <= TOLERANCE:
            raise BundleError(
                f"{spec.name}: got {name} off the golden output by {error_size:.3g}, expected at most {TOLERANCE:g}"
            )
