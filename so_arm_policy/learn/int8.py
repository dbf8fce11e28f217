"""System 1 with weights of eight bits, made from the fp32 graph alone: no torch, no data, any bundle.

Weights are quantised once, one scale for each output; activations at run time, one scale for each tensor. Both are
unsigned: signed weights saturate on processors without VNNI, so that a graph would do something else there.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from so_arm_policy.core.errors import BundleError
from so_arm_policy.learn.datasets.arrow_files import write_whole
from so_arm_policy.learn.onnx_traces import without_traces
from so_arm_policy.policy import golden
from so_arm_policy.policy.bundle import file_hash, load_bundle
from so_arm_policy.policy.graphs import PRECISIONS, open_session, system1_spec
from so_arm_policy.policy.manifest import Manifest, write_manifest

FILE_NAME = PRECISIONS["int8"]
DIFFERENCE = "int8_max_abs_rad"  # in a manifest's training: largest difference to the golden positions
OPERATORS = ["MatMul", "Gemm"]  # those with weights; what attends has none


def quantised(model: bytes) -> bytes:
    """Return the graph `model` with its matrix products in eight bits, also those inside loops. The same every time.

    Raises BundleError when there is none.
    """
    graph = onnx.load_from_string(model)
    _fold_transposes(graph.graph)
    del graph.graph.value_info[:]  # the quantiser would contradict these shapes
    onnx.helper.set_model_props(graph, {"onnx.quant.pre_process": "onnxruntime.quant"})  # else it asks for it
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE_NAME
        quantize_dynamic(
            graph,
            path,
            op_types_to_quantize=OPERATORS,
            per_channel=True,
            weight_type=QuantType.QUInt8,
            extra_options={"EnableSubgraph": True},
        )
        made = without_traces(onnx.load(path))
    if not any(node.op_type == "MatMulInteger" for node in _nodes(made.graph)):
        raise BundleError(f"{FILE_NAME}: got a graph without weights to quantise, expected some of {OPERATORS}")
    return made.SerializeToString(deterministic=True)


def add_int8(folder: Path) -> Manifest:
    """Add an int8 System 1 to the bundle in `folder`, or make it anew; the rest stays as it is.

    The manifest takes its hash, and its largest difference to the golden positions, rad. Raises BundleError,
    WriteError.
    """
    bundle = load_bundle(folder)
    fp32, int8 = system1_spec(bundle.manifest), system1_spec(bundle.manifest, "int8")
    model = quantised(bundle.read(fp32.name))
    arrays = golden.read_golden(bundle.read(golden.FILE_NAME), fp32)
    feed = {name: arrays[name] for name in fp32.inputs}
    (positions,) = open_session(model, int8).run(["positions"], feed)
    difference = float(np.abs(positions - arrays["positions"]).max())
    write_whole(folder / FILE_NAME, model)
    manifest = replace(
        bundle.manifest,
        files=bundle.manifest.files | {FILE_NAME: file_hash(folder / FILE_NAME)},
        training=bundle.manifest.training | {DIFFERENCE: difference},
    )
    write_manifest(folder, manifest)
    return manifest


def _fold_transposes(graph: onnx.GraphProto) -> None:
    """Turn weights that are transposed in the graph, as those used in several places are, into transposed weights."""
    weights = {weight.name: weight for weight in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type == "Transpose" and node.input[0] in weights:
            order = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
            turned = np.ascontiguousarray(numpy_helper.to_array(weights[node.input[0]]).transpose(order))
            graph.initializer.append(numpy_helper.from_array(turned, node.output[0]))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in _nodes(graph) for name in node.input} | {output.name for output in graph.output}
    kept = [weight for weight in graph.initializer if weight.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes of a graph and of all graphs inside them."""
    inner = [a.g for node in graph.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    return [*graph.node, *(node for body in inner for node in _nodes(body))]
