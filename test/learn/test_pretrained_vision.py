"""Vision towers of other people in System 2. The models here are the real classes, small and with random weights."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    SiglipConfig,
    SiglipModel,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

from so_arm_policy.cli import PRETRAINED_HINT, main
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.learn.export import OPSET, graphs
from so_arm_policy.learn.families import make_expert
from so_arm_policy.learn.families.flow import FlowConfig
from so_arm_policy.learn.pretrained_vision import TOWERS, PretrainedPatches
from so_arm_policy.learn.scene_encoder import SceneEncoder, SceneEncoderConfig
from so_arm_policy.robot.description import load_robot

# 19 a side: the first square in which SmolVLM's rounding of positions shows
SIDE, PATCH = 19 * 4, 4
VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": PATCH,
}
SMALLER = VISION | {"image_size": 40, "patch_size": 8}
TEXT = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 40}
LLAMA = {"model_type": "llama", **TEXT}


def siglip(vision):
    model = SiglipModel(SiglipConfig(vision_config=vision, text_config=TEXT | {"max_position_embeddings": 8}))
    return model, model.vision_model


def smolvlm(vision):
    model = SmolVLMForConditionalGeneration(SmolVLMConfig(vision_config=vision, text_config=LLAMA, image_token_id=3))
    return model, model.model.vision_model


def idefics3(vision):
    model = Idefics3ForConditionalGeneration(Idefics3Config(vision_config=vision, text_config=LLAMA, image_token_id=3))
    return model, model.model.vision_model


def alone(make):
    """Return the tower of a model as a model of its own."""

    def tower(vision):
        return (make(vision)[1],) * 2

    return tower


# By the model_type that is saved.
MODELS = {
    "siglip": siglip,
    "siglip_vision_model": alone(siglip),
    "smolvlm": smolvlm,
    "smolvlm_vision": alone(smolvlm),
    "idefics3": idefics3,
    "idefics3_vision": alone(idefics3),
}
every_model = pytest.mark.parametrize("kind", MODELS)


def made(kind, vision=VISION):
    """Return a model and its vision tower, with weights large enough that all of them matter."""
    torch.manual_seed(0)
    model, tower = MODELS[kind](vision)
    with torch.no_grad():
        for weights in tower.parameters():
            weights += 0.1 * torch.randn(weights.shape)
    return model.eval(), tower


def saved(kind, folder, vision=VISION):
    made(kind, vision)[0].save_pretrained(folder)
    return folder


def pictures(height=SIDE, width=SIDE):
    return torch.randint(0, 256, (2, height, width, 3), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)


@torch.no_grad()
def features(folder, images):
    torch.manual_seed(1)
    patches = PretrainedPatches(folder, images.shape[1], images.shape[2], PATCH, 24).eval()
    assert patches(images).shape == (2, images.shape[1] * images.shape[2] // PATCH**2, 24)
    return patches.features(images)


@torch.no_grad()
def said_by(tower, images, mean=0.5, std=0.5):
    return tower(((images / 255.0 - mean) / std).permute(0, 3, 1, 2)).last_hidden_state


@every_model
@pytest.mark.parametrize("shards", ["1GB", "20KB"])
def test_a_saved_model_sees_what_its_own_class_sees(kind, shards, tmp_path):
    model, tower = made(kind)
    model.save_pretrained(tmp_path, max_shard_size=shards)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shards == "20KB")
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == kind
    assert torch.allclose(features(tmp_path, pictures()), said_by(tower, pictures()), atol=1e-5)


@pytest.mark.parametrize("kind", ["smolvlm", "idefics3"])
@pytest.mark.parametrize("rows_columns", [(6, 8), (19, 1), (18, 19)])
def test_towers_of_any_shape_see_pictures_that_are_not_square(kind, rows_columns, tmp_path):
    model, tower = made(kind)
    model.save_pretrained(tmp_path)
    images = pictures(*(PATCH * n for n in rows_columns))
    assert torch.allclose(features(tmp_path, images), said_by(tower, images), atol=1e-5)


def test_weights_of_half_width_are_read_as_float32(tmp_path):
    model, tower = made("smolvlm")
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    got = features(tmp_path, pictures())
    assert got.dtype == torch.float32
    assert torch.allclose(got, said_by(tower.float(), pictures()), atol=1e-5)


@pytest.mark.parametrize("nested", [False, True])
def test_pixels_are_scaled_as_the_folder_says(nested, tmp_path):
    model, tower = made("siglip")
    model.save_pretrained(tmp_path)
    said = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.1], "rescale_factor": 1 / 255}
    name = "processor_config.json" if nested else "preprocessor_config.json"
    (tmp_path / name).write_text(json.dumps({"image_processor": said} if nested else said))
    mean, std = (torch.tensor(said[key]) for key in ("image_mean", "image_std"))
    assert torch.allclose(features(tmp_path, pictures()), said_by(tower, pictures(), mean, std), atol=1e-5)


def encoder_of(folder, **more):
    sizes = {"image_height": SIDE, "image_width": SIDE, "patch": PATCH, "width": 32, "vision_layers": 1}
    config = SceneEncoderConfig(**sizes | {"fusion_layers": 1, "vocabulary": 20, "pretrained": str(folder)} | more)
    torch.manual_seed(0)
    return SceneEncoder(config)


@pytest.mark.parametrize("trained", [False, True])
def test_a_frozen_tower_stays_and_a_trained_one_moves(trained, tmp_path):
    encoder = encoder_of(saved("siglip", tmp_path), train_pretrained=trained).train()
    before = {name: value.clone() for name, value in encoder.patches.state_dict().items()}
    optimiser = torch.optim.AdamW(encoder.parameters(), 1e-2, weight_decay=0.1)
    said = encoder(torch.stack([pictures()] * 2, 1), torch.ones(2, 18, dtype=torch.int64), torch.zeros(2, 6))
    said.source.square().sum().backward()
    optimiser.step()
    moved = {name for name, value in encoder.patches.state_dict().items() if not torch.equal(value, before[name])}
    assert {"project.weight", "project.bias"} <= moved
    assert (moved == {"project.weight", "project.bias"}) != trained
    assert ("embed.weight" in moved and "norm.weight" in moved) == trained
    assert encoder.patches.encoder.training == trained


@pytest.mark.parametrize(("kind", "size"), [("siglip", (SIDE, SIDE)), ("smolvlm", (24, 32))])
def test_exported_system_2_holds_the_tower_and_computes_the_same(kind, size, tmp_path):
    encoder = encoder_of(saved(kind, tmp_path / "model"), image_height=size[0], image_width=size[1])
    config = FlowConfig(context_width=32, width=32, heads=2, layers=1)
    system2, _ = graphs(encoder.eval(), make_expert(config).eval(), load_robot("so101").home)
    rows, columns = size[0] // PATCH, size[1] // PATCH
    assert system2.arrays()["attention"].shape == (2, rows, columns)
    system2.export(tmp_path / "system2.onnx")
    assert system2.parity(tmp_path / "system2.onnx") <= 1e-5
    assert {o.domain: o.version for o in onnx.load(tmp_path / "system2.onnx").opset_import}[""] == OPSET
    assert b".py" not in (tmp_path / "system2.onnx").read_bytes()


def rewritten(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def spoilt(path, name, change):
    tensors = load_file(path)
    tensors[name] = change(tensors[name])
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path)


def truncated(path):
    path.write_bytes(path.read_bytes()[:5000])


def pickled(path):
    torch.save(load_file(path), path.with_name("pytorch_model.bin"))
    path.unlink()


WEIGHT = "vision_model.encoder.layers.1.mlp.fc1.weight"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda f: rewritten(f / "config.json", model_type="clip"),
            r"got model_type 'clip', expected one of \['siglip'",
        ),
        (lambda f: rewritten(f / "config.json", model_type=[1]), r"got model_type \[1\], expected one of"),
        (lambda f: (f / "config.json").write_text("{"), r"config\.json: got .*, expected JSON"),
        (lambda f: (f / "config.json").write_text("[]"), r"config\.json: got list, expected a mapping"),
        (lambda f: (f / "config.json").unlink(), r"config\.json: got .*No such file.*, expected JSON"),
        (
            lambda f: rewritten(f / "config.json", vision_config={"hidden_size": "wide"}),
            r"config\.json: got .*hidden_size",
        ),
        (
            lambda f: rewritten(f / "config.json", vision_config=VISION | {"patch_size": 0}),
            "expected a patch that fits",
        ),
        (
            lambda f: rewritten(f / "config.json", vision_config=VISION | {"hidden_size": 18}),
            "got .*18.*, expected weights",
        ),
        (
            lambda f: rewritten(f / "config.json", vision_config=VISION | {"num_attention_heads": 3}),
            "got .*divisible.*, expected weights that fit",
        ),
        (
            lambda f: rewritten(f / "config.json", vision_config=VISION | {"num_hidden_layers": 3}),
            r"got no tensor 'vision_model\.encoder\.layers\.2\..*', expected one",
        ),
        (lambda f: pickled(f / "model.safetensors"), r"got \[.*pytorch_model\.bin'\], expected model\.safetensors"),
        (lambda f: truncated(f / "model.safetensors"), r"model\.safetensors: got .*, expected whole safetensors"),
        (lambda f: spoilt(f / "model.safetensors", WEIGHT, lambda t: t * torch.nan), "with values that are not finite"),
        (lambda f: spoilt(f / "model.safetensors", WEIGHT, lambda t: t.to(torch.int8)), r"got .* of torch\.int8"),
        (lambda f: spoilt(f / "model.safetensors", WEIGHT, lambda t: None), "got no tensor .*fc1.weight'"),
        (lambda f: save_file({"a": torch.zeros(1)}, f / "model.safetensors"), "got 0 tensors named"),
        (lambda f: (f / "preprocessor_config.json").write_text('{"image_std": [1, 0, 1]}'), "expected finite numbers"),
        (lambda f: (f / "preprocessor_config.json").write_text('{"image_mean": 3}'), r"preprocessor_config\.json: got"),
    ],
)
def test_a_folder_that_cannot_be_used_is_named(spoil, message, tmp_path):
    saved("siglip", tmp_path)
    spoil(tmp_path)
    with pytest.raises(InputError, match=message):
        PretrainedPatches(tmp_path, SIDE, SIDE, PATCH, 8)


def test_a_missing_folder_is_named_and_never_looked_for_elsewhere(tmp_path):
    with pytest.raises(InputError, match=r"google/siglip-base-patch16-224: got no such folder, expected one that"):
        PretrainedPatches(Path("google/siglip-base-patch16-224"), 224, 224, 16, 8)


@pytest.mark.parametrize(
    ("kind", "sizes", "message"),
    [
        ("siglip", (96, 128, 4), "image_height=96 encoder.image_width=128 .*expected height and width 76 and 76, enc"),
        ("siglip", (SIDE, SIDE, 2), "encoder.patch=2, expected .* encoder.patch=4"),
        ("smolvlm", (SIDE, SIDE + 4, 4), "expected height and width multiples of 4 up to 76, encoder.patch=4"),
        ("smolvlm", (SIDE, 30, 4), "expected height and width multiples of 4"),
    ],
)
def test_sizes_of_pictures_that_do_not_fit_are_told_the_right_ones(kind, sizes, message, tmp_path):
    saved(kind, tmp_path)
    with pytest.raises(ConfigError, match=message):
        PretrainedPatches(tmp_path, *sizes, 8)


def test_every_supported_model_type_is_tested_here():
    assert set(MODELS) == set(TOWERS)


def test_without_transformers_one_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    saved("siglip", tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "transformers"]:
        monkeypatch.setitem(sys.modules, name, None)  # an import of it fails as that of a missing one
    command = ["train", "reach", "--data", str(tmp_path / "data"), "--set", f"encoder.pretrained={tmp_path}"]
    capsys.readouterr()
    assert main(command) == 2
    assert capsys.readouterr().err == (
        f"error: so-arm train needs 'transformers', which is not installed: {PRETRAINED_HINT}\n"
    )
    assert not (tmp_path / "data").exists()


USE = """
import sys
from pathlib import Path
import numpy as np
from so_arm_policy.core.values import CameraImage, JointSample
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.policy.system2 import System2
from so_arm_policy.robot.description import load_robot
robot = load_robot("so101")
sample = JointSample(stamp_ns=10**9, received_ns=10**9, q=robot.home, dq=np.zeros(6))
picture = np.zeros((120, 160, 3), dtype=np.uint8)
images = {name: CameraImage(camera=name, stamp_ns=10**9, rgb=picture) for name in robot.camera_names}
system2 = System2(load_bundle(Path(sys.argv[1]), robot), robot)
system2.encode(images, "touch the red cube", sample)
print(system2.last_attention.shape, sorted({"torch", "transformers", "safetensors"} & set(sys.modules)))
"""


def test_trained_by_one_command_and_run_without_torch_and_transformers(tmp_path, capsys):
    """Demonstrations, two batches for each system, a bundle; a process that has neither library loads and runs it."""
    folder = saved("siglip", tmp_path / "siglip", SMALLER)
    small = ["encoder.width=32", "encoder.vision_layers=1", "encoder.fusion_layers=1", "scene.warmup=1"]
    small += ["expert.context_width=32", "expert.width=32", "expert.heads=2", "expert.layers=1", "action.warmup=1"]
    changes = [f"encoder.pretrained={folder}", "encoder.image_height=40", "encoder.image_width=40"]
    changes += ["encoder.patch=8", "scene_batch=2", "action_batch=8", *small]
    command = ["train", "reach", "--episodes", "50", "--scene-steps", "2", "--steps", "2", "--jobs", "1"]
    command += ["--data", str(tmp_path / "data"), "--run", str(tmp_path / "run"), "--out", str(tmp_path / "bundle")]
    command += [part for change in changes for part in ("--set", change)]
    assert main(command) == 0
    assert str(tmp_path / "bundle") in capsys.readouterr().out
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert max(manifest["training"]["parity_max_abs"].values()) <= 1e-5
    assert (manifest["image_height"], manifest["image_width"]) == (40, 40)
    with np.load(tmp_path / "bundle" / "golden.npz") as golden:
        assert (2, 5, 5) in [golden[name].shape for name in golden.files]
    result = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path / "bundle")], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "(2, 5, 5) []"
