"""The manifest: strict in what it reads, and what it writes it reads back."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_bundle import tiny_manifest

from so_arm_policy.core.errors import BundleError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.policy.manifest import MAX_BYTES, Normalisation, read_manifest, write_manifest
from so_arm_policy.robot.description import load_robot

ROBOT = load_robot("so101")


def test_written_manifest_reads_back_equal(tmp_path: Path, robot: RobotConfig) -> None:
    manifest = tiny_manifest(robot, training={"seed": 0, "steps": 10}, scores={"reach": [0.9, 0.8, 0.95]})
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest


@given(dt_s=st.floats(1e-4, 1.0), horizon=st.integers(2, 1024), infer_every=st.integers(1, 120))
def test_legal_numbers_survive_json(tmp_path_factory: pytest.TempPathFactory, dt_s, horizon, infer_every) -> None:
    folder = tmp_path_factory.mktemp("m")
    manifest = tiny_manifest(ROBOT, dt_s=dt_s, horizon=horizon, prefix=1, infer_every=infer_every)
    write_manifest(folder, manifest)
    assert read_manifest(folder) == manifest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 1}, "format 1, expected 2"),
        ({"id": " "}, "id ' '"),
        ({"family": "transformer"}, "family 'transformer', expected one of"),
        ({"units": "deg"}, "units 'deg', expected 'rad'"),
        ({"words": ()}, "words"),
        ({"cameras": ("overhead", "overhead")}, "cameras"),
        ({"image_height": 0}, "image_height 0"),
        ({"horizon": 0}, "horizon 0"),
        ({"noise_shape": (16, 0)}, "noise_shape (16, 0), expected positive sizes"),
        ({"noise_std": float("nan")}, "noise_std nan"),
        ({"passes": 0}, "passes 0"),
        ({"dt_s": 0.0}, "dt_s 0.0"),
        ({"dt_s": float("nan")}, "dt_s nan"),
        ({"prefix": 0}, "prefix 0"),
        ({"prefix": 16}, "prefix 16, expected 1..15"),
        ({"infer_every": 0}, "infer_every 0"),
        ({"context_shape": (2, 3, 1, 4, 8)}, "context_shape"),
        ({"context_shape": (60000, 2, 60000, 60000, 8)}, "context_shape"),
        ({"files": {"../x": "0" * 64}}, "files"),
        ({"files": {"system1.onnx": "abc"}}, "files"),
    ],
)
def test_impossible_promises_are_refused(robot: RobotConfig, change: dict[str, object], message: str) -> None:
    with pytest.raises(BundleError, match=message.replace("(", r"\(").replace(")", r"\)")):
        tiny_manifest(robot, **change)


@pytest.mark.parametrize("values", [(0.0,) * 6, (1.0,) * 5, (float("inf"),) * 6])
def test_a_deviation_must_be_positive_and_of_every_joint(robot: RobotConfig, values: tuple[float, ...]) -> None:
    normalisation = Normalisation(state_mean=(0.0,) * 6, state_std=values, action_std=(1.0,) * 6)
    with pytest.raises(BundleError, match="state_std.*expected 6 positive finite numbers"):
        tiny_manifest(robot, normalisation=normalisation)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{",
        '{"format": NaN}',
        '{"format": 1, "format": 1}',
        '{"no_such_key": 1}',
        "[" * 100_000,
        '{"format": "1"}',
        '{"format": ' + "9" * 5000 + "}",
    ],
)
def test_odd_json_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json: got|manifest\.json: manifest"):
        read_manifest(tmp_path)


def test_many_keys_are_refused_quickly_and_too_many_bytes_unread(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text("{" + ",".join(f'"{i}":1' for i in range(50_000)) + ',"0":1}')
    with pytest.raises(BundleError, match="twice"):
        read_manifest(tmp_path)
    path.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(BundleError, match=f"got {MAX_BYTES + 1} bytes"):
        read_manifest(tmp_path)


def test_bytes_that_are_no_text_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="No such file"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(BundleError, match="expected JSON in UTF-8"):
        read_manifest(tmp_path)


def test_a_missing_entry_is_named(folder: Path) -> None:
    data = json.loads((folder / "manifest.json").read_text())
    del data["joints"]
    (folder / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(BundleError, match="missing key 'joints'"):
        read_manifest(folder)


def test_what_json_cannot_hold_is_not_written(tmp_path: Path, robot: RobotConfig) -> None:
    with pytest.raises(BundleError, match="plain finite JSON"):
        write_manifest(tmp_path, tiny_manifest(robot, scores={"loss": float("nan")}))
