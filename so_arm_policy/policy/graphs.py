"""The two ONNX graphs of a bundle: what they must look like, and sessions that run them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from so_arm_policy.core.errors import BundleError, ConfigError
from so_arm_policy.policy.manifest import Manifest
from so_arm_policy.policy.providers import CPU, Provider, check_given, check_offered

# System 1's file for each precision of its weights. Only the first is in every bundle.
PRECISIONS = MappingProxyType({"fp32": "system1.onnx", "int8": "system1.int8.onnx"})
# onnxruntime's errors share no base class of their own.
ORT_ERRORS = (
    ort_errors.EPFail,
    ort_errors.EngineError,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NoSuchFile,
    ort_errors.NotFound,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


@dataclass(frozen=True)
class TensorSpec:
    """Element type and shape of one graph input or output; None matches any size."""

    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        """Read as `float32 (16, 6)`."""
        return f"{self.dtype} ({', '.join('any' if size is None else str(size) for size in self.shape)})"

    def accepts(self, dtype: str, shape: Sequence[object]) -> bool:
        """Tell whether a tensor of `dtype` and `shape` fits; a size that is not a positive int never does."""
        if dtype != self.dtype or len(shape) != len(self.shape):
            return False
        sizes = zip(shape, self.shape, strict=True)
        return all(isinstance(got, int) and got > 0 and want in (None, got) for got, want in sizes)


@dataclass(frozen=True)
class GraphSpec:
    """Name of a graph's file and what goes in and comes out, by name."""

    name: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


def system2_spec(manifest: Manifest) -> GraphSpec:
    """Return what system2.onnx must look like: images (C, H, W, 3), tokens (L,), state (n,) rad -> keys and values.

    grounding: (3,) m, world frame, where the instruction's object is (of a bundle of recordings: where the hand goes
    next). attention: (C, rows, columns) over the pictures.
    """
    cameras = len(manifest.cameras)
    inputs = {
        "images": TensorSpec("uint8", (cameras, manifest.image_height, manifest.image_width, 3)),
        "tokens": TensorSpec("int64", (manifest.max_tokens,)),
        "state": TensorSpec("float32", (len(manifest.joints),)),
    }
    outputs = {
        "keys_values": TensorSpec("float32", manifest.context_shape),
        "grounding": TensorSpec("float32", (3,)),
        "attention": TensorSpec("float32", (cameras, None, None)),
    }
    return GraphSpec("system2.onnx", MappingProxyType(inputs), MappingProxyType(outputs))


def system1_spec(manifest: Manifest, precision: str = "fp32") -> GraphSpec:
    """Return what System 1's graph must look like: keys and values, state (n,), noise, prefix (P, n) -> positions.

    state, prefix and positions (H, n) are rad; the first P rows of positions equal the prefix. noise is no input where
    the manifest's noise_shape is (). precision: one of PRECISIONS, which all look the same. Raises ConfigError.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision: got {precision!r}, expected one of {list(PRECISIONS)}")
    joints = len(manifest.joints)
    inputs = {
        "keys_values": TensorSpec("float32", manifest.context_shape),
        "state": TensorSpec("float32", (joints,)),
        "noise": TensorSpec("float32", manifest.noise_shape),
        "prefix": TensorSpec("float32", (manifest.prefix, joints)),
    }
    if not manifest.noise_shape:
        del inputs["noise"]
    outputs = {"positions": TensorSpec("float32", (manifest.horizon, joints))}
    return GraphSpec(PRECISIONS[precision], MappingProxyType(inputs), MappingProxyType(outputs))


def session_options(threads: int = 1) -> ort.SessionOptions:
    """Return options for steady latency on shared cores: no spinning, one operator at a time. Raises ConfigError."""
    if not 1 <= threads <= 64:
        raise ConfigError(f"onnxruntime: got {threads} threads, expected 1..64")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def open_session(model: bytes, spec: GraphSpec, threads: int = 1, provider: Provider = CPU) -> ort.InferenceSession:
    """Return a session for `model` whose inputs and outputs are exactly those of `spec`. Raises BundleError.

    `provider` must really be there: onnxruntime by itself would fall back to the CPU silently. Raises ConfigError.
    """
    check_offered(provider)
    options, wanted = session_options(threads), provider.ort_providers(model)
    try:
        session = ort.InferenceSession(model, options, providers=wanted, enable_fallback=0)
    except (ort_errors.EPFail, RuntimeError) as error:  # the second where TensorRT's libraries are missing
        raise ConfigError(f"{spec.name}: got {error} of provider {provider.name!r}, expected it to start") from error
    except (*ORT_ERRORS, ValueError) as error:
        raise BundleError(f"{spec.name}: got {error}, expected an ONNX graph") from error
    check_given(provider, session.get_providers(), spec.name)
    _check_tensors(f"{spec.name} inputs", session.get_inputs(), spec.inputs)
    _check_tensors(f"{spec.name} outputs", session.get_outputs(), spec.outputs)
    return session


def _check_tensors(where: str, got: Sequence[ort.NodeArg], expected: Mapping[str, TensorSpec]) -> None:
    names = [tensor.name for tensor in got]
    if sorted(names) != sorted(expected):
        raise BundleError(f"{where}: got {names}, expected {list(expected)}")
    for tensor in got:
        spec = expected[tensor.name]
        dtype = _numpy_name(tensor.type)
        if not spec.accepts(dtype, tensor.shape):
            raise BundleError(f"{where}: got {tensor.name} {dtype} {tuple(tensor.shape)}, expected {spec}")


def _numpy_name(onnx_type: str) -> str:
    """Turn `tensor(float)` into `float32`; other names are numpy's already."""
    name = onnx_type.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)
