"""System 1 in eight bits: made from the graph alone, close to it, the same every time, and a part of the bundle."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from so_arm_policy.core.errors import BundleError, ConfigError
from so_arm_policy.learn.export import system1_graph
from so_arm_policy.learn.families import make_expert
from so_arm_policy.learn.families.autoregressive import AutoregressiveConfig
from so_arm_policy.learn.families.flow import FlowConfig
from so_arm_policy.learn.int8 import DIFFERENCE, FILE_NAME, add_int8, quantised
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.policy.manifest import read_manifest, write_manifest
from so_arm_policy.policy.system1 import System1
from so_arm_policy.robot.description import load_robot

SHIPPED = Path(__file__).parents[2] / "bundles" / "reach_flow"
SIZES = {"joints": 3, "horizon": 8, "context_width": 16, "context_tokens": 5, "width": 32, "heads": 2, "layers": 1}
CONFIGS = [FlowConfig(**SIZES, steps=2), AutoregressiveConfig(**SIZES, coefficients=2, bins=64)]


@pytest.fixture
def folder(tmp_path):
    """The shipped bundle as it is without int8."""
    shutil.copytree(SHIPPED, tmp_path / "bundle")
    manifest = read_manifest(tmp_path / "bundle")
    manifest.files.pop(FILE_NAME, None)
    write_manifest(tmp_path / "bundle", manifest)
    (tmp_path / "bundle" / FILE_NAME).unlink(missing_ok=True)
    return tmp_path / "bundle"


def nodes(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from nodes(attribute.g)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_every_product_with_weights_is_in_eight_bits_also_in_loops(config, tmp_path):
    torch.manual_seed(0)
    expert = make_expert(config).eval().requires_grad_(requires_grad=False)
    keys_values = expert.project(torch.randn(1, config.context_tokens, config.context_width))[0]
    graph = system1_graph(expert, keys_values, torch.zeros(config.joints), torch.Generator().manual_seed(0))
    graph.export(tmp_path / "fp32.onnx")
    fp32 = (tmp_path / "fp32.onnx").read_bytes()
    int8 = quantised(fp32)
    made = onnx.load_from_string(int8)
    products = [node.op_type for node in nodes(made.graph) if node.op_type in ("MatMul", "Gemm", "MatMulInteger")]
    # What is left multiplies activations with each other, or with what is worked out while running.
    assert products.count("MatMul") + products.count("Gemm") <= 1
    assert products.count("MatMulInteger") > 5
    assert not made.metadata_props
    assert not any(node.doc_string or node.metadata_props for node in nodes(made.graph))
    assert quantised(fp32) == int8
    assert len(int8) < len(fp32)
    (tmp_path / "int8.onnx").write_bytes(int8)
    assert 0.0 < graph.parity(tmp_path / "int8.onnx") < 0.05
    assert graph.parity(tmp_path / "fp32.onnx") <= 1e-5


def test_a_bundle_gets_its_int8_graph_and_keeps_the_rest(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}
    bundle = load_bundle(folder)
    assert bundle.precisions == ("fp32",)
    manifest = add_int8(folder)
    again = load_bundle(folder)
    assert again.manifest == manifest
    assert again.precisions == ("fp32", "int8")
    assert manifest.id == bundle.manifest.id
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert 0.0 < manifest.training[DIFFERENCE] < 0.05
    assert add_int8(folder) == manifest
    feed = {given.name: np.zeros(given.shape, np.float32) for given in again.system1_session().get_inputs()}
    fp32, int8 = (again.system1_session(precision=name).run(None, feed)[0] for name in ("fp32", "int8"))
    assert 0.0 < np.abs(fp32 - int8).max() < 0.05
    System1(again, load_robot("so101"), precision="int8")


def test_a_bundle_without_int8_and_an_unknown_precision(folder):
    bundle = load_bundle(folder)
    with pytest.raises(BundleError, match=r"got precision 'int8', expected one of \['fp32'\]; `so-arm export --int8"):
        System1(bundle, load_robot("so101"), precision="int8")
    with pytest.raises(ConfigError, match=r"precision: got 'int4', expected one of \['fp32', 'int8'\]"):
        bundle.system1_session(precision="int4")


def test_an_int8_graph_that_is_damaged_or_missing(folder):
    add_int8(folder)
    whole = (folder / FILE_NAME).read_bytes()
    (folder / FILE_NAME).write_bytes(whole[:-1])
    with pytest.raises(BundleError, match=rf"{FILE_NAME}: got sha256"):
        load_bundle(folder)
    (folder / FILE_NAME).unlink()
    with pytest.raises(BundleError, match=rf"{FILE_NAME}: got No such file"):
        load_bundle(folder)


def test_a_graph_without_weights_is_refused():
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Neg", ["x"], ["y"])], "none", [x], [y])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(BundleError, match="graph without weights to quantise"):
        quantised(model.SerializeToString())
