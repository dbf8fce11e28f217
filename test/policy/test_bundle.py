"""Loading a bundle: the good one loads, every kind of damage is one clear error."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny_bundle import example_feed, finish, rehash, system1_model, system1_outputs, system2_model, tiny_manifest

from so_arm_policy.core.errors import BundleError, ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.policy import golden
from so_arm_policy.policy.bundle import FILES, Bundle, load_bundle
from so_arm_policy.policy.graphs import GraphSpec, TensorSpec, open_session, system1_spec, system2_spec
from so_arm_policy.policy.manifest import read_manifest, write_manifest
from so_arm_policy.robot.description import load_robot


def test_the_graphs_of_a_loaded_bundle_compute_what_they_should(shared_bundle: Bundle) -> None:
    spec = system1_spec(shared_bundle.manifest)
    feed = example_feed(spec, seed=5)
    (positions,) = shared_bundle.system1_session().run(["positions"], feed)
    assert positions == pytest.approx(system1_outputs(shared_bundle.manifest, feed)["positions"], abs=1e-6)
    assert (positions[: shared_bundle.manifest.prefix] == feed["prefix"]).all()


def test_sessions_run_on_the_asked_provider_without_spinning(shared_bundle: Bundle) -> None:
    session = shared_bundle.system1_session(threads=1)
    assert session.get_providers() == ["CPUExecutionProvider"]
    options = session.get_session_options()
    assert options.intra_op_num_threads == options.inter_op_num_threads == 1
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_too_few_threads_are_refused(shared_bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match="got 0 threads"):
        shared_bundle.system2_session(threads=0)


def test_no_folder_and_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such folder"):
        load_bundle(tmp_path / "absent")
    with pytest.raises(BundleError, match=r"manifest\.json"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: got No such file"):
        load_bundle(folder)


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_a_wrong_hash(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name}: got sha256 [0-9a-f]{{64}}, expected [0-9a-f]{{64}}"):
        load_bundle(folder)


def test_a_file_the_manifest_does_not_list(folder: Path) -> None:
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, files={"system1.onnx": manifest.files["system1.onnx"]}))
    with pytest.raises(BundleError, match=r"expected system2\.onnx"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["system1.onnx", "system2.onnx"])
@pytest.mark.parametrize("damage", [b"", b"no graph at all", None])
def test_a_corrupt_graph_with_the_right_hash(folder: Path, name: str, damage: bytes | None) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    rehash(folder)
    with pytest.raises(BundleError, match=f"{name}: got .*expected an ONNX graph"):
        load_bundle(folder)


@pytest.mark.parametrize("keep", [0, 10, 500, -30])
def test_a_truncated_golden_file_with_the_right_hash(folder: Path, keep: int) -> None:
    path = folder / "golden.npz"
    path.write_bytes(path.read_bytes()[:keep])
    rehash(folder)
    with pytest.raises(BundleError, match=r"golden\.npz: got .*, expected a complete npz file"):
        load_bundle(folder)


def test_golden_arrays_missing_wrong_or_pickled(folder: Path) -> None:
    path = folder / "golden.npz"
    arrays = dict(np.load(path))
    np.savez(path, **{name: array for name, array in arrays.items() if name != "system1/noise"})
    rehash(folder)
    with pytest.raises(BundleError, match=r"expected also \['system1/noise'\]"):
        load_bundle(folder)
    np.savez(path, **{**arrays, "system1/noise": np.zeros((3, 3), np.float32)})
    rehash(folder)
    with pytest.raises(BundleError, match=r"got system1/noise float32 \(3, 3\), expected float32 \(16, 6\)"):
        load_bundle(folder)
    np.savez(path, allow_pickle=True, **{**arrays, "system1/noise": np.array([{}], dtype=object)})
    rehash(folder)
    with pytest.raises(BundleError, match=r"golden\.npz: got .*, expected a complete npz file"):
        load_bundle(folder)


def test_golden_arrays_too_large_are_not_unpacked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden, "MAX_BYTES", 1000)
    with pytest.raises(BundleError, match=r"golden\.npz: got \d+ bytes of arrays, expected at most 1000"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["system1/positions", "system2/grounding", "system2/keys_values"])
@pytest.mark.parametrize("off", [2e-4, float("nan")])
def test_a_golden_mismatch_names_the_output(folder: Path, name: str, off: float) -> None:
    path = folder / "golden.npz"
    arrays = dict(np.load(path))
    arrays[name].flat[0] += off
    np.savez(path, **arrays)
    rehash(folder)
    with pytest.raises(BundleError, match=f"got {name.split('/')[1]} off the golden output by .*, expected at most"):
        load_bundle(folder)


def test_a_tokenizer_that_is_none(folder: Path) -> None:
    (folder / "tokenizer.json").write_text(json.dumps({"model": 3}))
    rehash(folder)
    with pytest.raises(BundleError, match=r"tokenizer\.json: got .*expected a tokenizer file"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("old", "new", "tensor", "message"),
    [
        ("noise", "sound", TensorSpec("float32", (16, 6)), r"system1\.onnx inputs: got .*'sound'.*expected .*'noise'"),
        ("noise", "noise", TensorSpec("float32", (17, 6)), r"got noise float32 \(17, 6\), expected float32 \(16, 6\)"),
        ("noise", "noise", TensorSpec("float32", (16,)), r"got noise float32 \(16,\), expected float32 \(16, 6\)"),
        ("state", "state", TensorSpec("int64", (6,)), r"got state int64 \(6,\), expected float32 \(6\)"),
    ],
)
def test_a_graph_with_another_input(robot: RobotConfig, old: str, new: str, tensor: TensorSpec, message: str) -> None:
    manifest = tiny_manifest(robot)
    spec = system1_spec(manifest)
    inputs = {new if name == old else name: tensor if name == old else own for name, own in spec.inputs.items()}
    odd = system1_model(manifest, GraphSpec(spec.name, inputs, spec.outputs))
    if tensor.dtype != "float32" or len(tensor.shape) != len(spec.inputs[old].shape):
        odd = _border_only(odd, GraphSpec(spec.name, inputs, spec.outputs))
    with pytest.raises(BundleError, match=message):
        open_session(odd.SerializeToString(), spec)


def test_a_graph_with_another_output_or_a_free_size(robot: RobotConfig) -> None:
    manifest = tiny_manifest(robot)
    spec = system1_spec(manifest)
    renamed = system1_model(manifest, GraphSpec(spec.name, spec.inputs, {"actions": spec.outputs["positions"]}))
    with pytest.raises(BundleError, match=r"system1\.onnx outputs: got \['actions'\], expected \['positions'\]"):
        open_session(renamed.SerializeToString(), spec)
    free = system2_model(manifest)
    free.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    with pytest.raises(BundleError, match=r"got images uint8 \('batch', 12, 16, 3\), expected uint8 \(2, 12, 16, 3\)"):
        open_session(free.SerializeToString(), system2_spec(manifest))


def test_another_robot_joint_order_or_camera(folder: Path, robot: RobotConfig) -> None:
    with pytest.raises(BundleError, match="got a policy for robot 'so101', expected 'so101_bimanual'"):
        load_bundle(folder, load_robot("so101_bimanual"))
    turned = replace(robot, joints=robot.joints[::-1])
    with pytest.raises(BundleError, match=r"got joints \['shoulder_pan'.*expected \['gripper'.* in this order"):
        load_bundle(folder, turned)
    blind = replace(robot, cameras=robot.cameras[:1])
    with pytest.raises(BundleError, match=r"got camera \['wrist'\] needed, expected some of \['overhead'\]"):
        load_bundle(folder, blind)


def test_a_file_changed_after_loading_is_not_run(folder: Path) -> None:
    bundle = load_bundle(folder)
    (folder / "system1.onnx").write_bytes((folder / "system2.onnx").read_bytes())
    with pytest.raises(BundleError, match="sha256"):
        bundle.system1_session()


def test_same_content_gives_the_same_files(folder: Path) -> None:
    manifest = read_manifest(folder)
    before = {name: (folder / name).read_bytes() for name in [*FILES, "manifest.json"]}
    finish(folder, manifest)
    assert before == {name: (folder / name).read_bytes() for name in [*FILES, "manifest.json"]}


def _border_only(model: onnx.ModelProto, spec: GraphSpec) -> onnx.ModelProto:
    """Return a graph with the inputs of `spec` and a constant output: types inside cannot clash."""
    (name, tensor), *_ = spec.outputs.items()
    value = onnx.numpy_helper.from_array(np.zeros(tensor.shape, np.float32), "value")
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.append(onnx.helper.make_node("Constant", [], [name], value=value))
    return model
