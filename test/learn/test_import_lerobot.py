"""Importing LeRobot's checkpoints, as far as it goes without lerobot; tools/check_import_lerobot.py does the rest."""

import importlib.util
import json
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402

from so_arm_policy import cli  # noqa: E402
from so_arm_policy.core.errors import ConfigError, InputError  # noqa: E402
from so_arm_policy.learn.datasets.units import Units, from_radians  # noqa: E402
from so_arm_policy.learn.lerobot_policies.folder import read_checkpoint  # noqa: E402
from so_arm_policy.learn.lerobot_policies.order import Order, match_cameras  # noqa: E402
from so_arm_policy.learn.lerobot_policies.pace import Pace  # noqa: E402
from so_arm_policy.learn.lerobot_policies.parts import Joints, Pictures  # noqa: E402
from so_arm_policy.learn.lerobot_policies.schedules import Step  # noqa: E402
from so_arm_policy.learn.lerobot_policies.sentences import write_tokenizer  # noqa: E402
from so_arm_policy.learn.lerobot_policies.statistics import scale_of  # noqa: E402
from so_arm_policy.policy.tokenizer import Tokenizer, words_of  # noqa: E402
from so_arm_policy.robot.description import load_robot  # noqa: E402

ROBOT = load_robot("so101")
N = len(ROBOT.joints)
FRONT = "observation.images.front"
STATE_STATS = {"mean": torch.linspace(-20.0, 20.0, N), "std": torch.linspace(5.0, 30.0, N)}
ACTION_STATS = {"mean": torch.linspace(10.0, -10.0, N), "std": torch.linspace(30.0, 6.0, N)}
PICTURE_STATS = {"mean": torch.full((3, 1, 1), 0.4), "std": torch.full((3, 1, 1), 0.2)}
MODES = {"VISUAL": "MEAN_STD", "STATE": "MEAN_STD", "ACTION": "MEAN_STD"}


def write(folder, name, content):
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def change(folder, name, **values):
    path = folder / name
    write(folder, name, {**json.loads(path.read_text(encoding="utf-8")), **values})


def flat(stats):
    return {f"{key}.{name}": value.clone() for key, some in stats.items() for name, value in some.items()}


@pytest.fixture
def checkpoint(tmp_path):
    """A folder as lerobot 0.4 writes it for ACT; its weights are no network's."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    write(
        folder,
        "config.json",
        {
            "type": "act",
            "input_features": {
                "observation.state": {"type": "STATE", "shape": [N]},
                FRONT: {"type": "VISUAL", "shape": [3, 48, 64]},
            },
            "output_features": {"action": {"type": "ACTION", "shape": [N]}},
            "normalization_mapping": MODES,
        },
    )
    save_file({"model.weight": torch.ones(2, 2)}, folder / "model.safetensors")
    inputs = {"observation.state": STATE_STATS, FRONT: PICTURE_STATS, "action": ACTION_STATS}
    for name, kind, stats in (
        ("policy_preprocessor", "normalizer_processor", inputs),
        ("policy_postprocessor", "unnormalizer_processor", {"action": ACTION_STATS}),
    ):
        save_file(flat(stats), folder / f"{name}_step_0.safetensors")
        step = {"registry_name": kind, "config": {"eps": 1e-8, "norm_map": MODES}}
        step["state_file"] = f"{name}_step_0.safetensors"
        write(folder, f"{name}.json", {"name": name, "steps": [step]})
    return folder


def order(**values):
    return Order(task="reach", instructions=("touch the red cube",), **values)


def test_a_checkpoint_is_read(checkpoint):
    read = read_checkpoint(checkpoint, N)
    assert (read.kind, read.pictures, read.piped) == ("act", {FRONT: (48, 64)}, True)
    np.testing.assert_allclose(read.scales["action"].span, ACTION_STATS["std"])
    np.testing.assert_allclose(read.scales["observation.state"].shift, STATE_STATS["mean"])
    assert set(read.origin()) == {
        "config.json",
        "model.safetensors",
        "policy_preprocessor.json",
        "policy_postprocessor.json",
    }


def test_statistics_among_the_weights_say_the_same(checkpoint):
    new = read_checkpoint(checkpoint, N)
    for name in ("policy_preprocessor.json", "policy_postprocessor.json"):
        (checkpoint / name).unlink()
    weights = {"model.weight": torch.ones(2, 2)}
    stats = {"observation_state": STATE_STATS, "observation_images_front": PICTURE_STATS}
    weights |= {f"normalize_inputs.buffer_{key}": value for key, value in flat(stats).items()}
    weights |= {f"unnormalize_outputs.buffer_{key}": value for key, value in flat({"action": ACTION_STATS}).items()}
    # As lerobot leaves what it never filled:
    weights["normalize_targets.buffer_action.mean"] = torch.full((N,), float("inf"))
    save_file(weights, checkpoint / "model.safetensors")
    old = read_checkpoint(checkpoint, N)
    assert not old.piped
    for key, scale in new.scales.items():
        np.testing.assert_array_equal(old.scales[key].shift, scale.shift)
        np.testing.assert_array_equal(old.scales[key].span, scale.span)


def no_config(folder):
    (folder / "config.json").unlink()


def unknown_kind(folder):
    change(folder, "config.json", type="vqbet")


def an_adapter(folder):
    change(folder, "config.json", use_peft=True)


def another_arm(folder):
    change(folder, "config.json", output_features={"action": {"type": "ACTION", "shape": [7]}})


def no_state(folder):
    change(folder, "config.json", input_features={FRONT: {"type": "VISUAL", "shape": [3, 48, 64]}})


def no_pictures(folder):
    change(folder, "config.json", input_features={"observation.state": {"type": "STATE", "shape": [N]}})


def no_shape(folder):
    change(folder, "config.json", output_features={"action": {"type": "ACTION"}})


def no_weights(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-3])


def weights_not_finite(folder):
    save_file({"model.weight": torch.tensor([1.0, float("nan")])}, folder / "model.safetensors")


def no_statistics(folder):
    for name in ("policy_preprocessor.json", "policy_postprocessor.json"):
        (folder / name).unlink()


def no_output_statistics(folder):
    save_file({"action.mean": torch.zeros(N)}, folder / "policy_postprocessor_step_0.safetensors")


def unknown_step(folder):
    write(folder, "policy_preprocessor.json", {"steps": [{"registry_name": "map_delta_action_to_robot_action"}]})


def statistics_elsewhere(folder):
    path = folder / "policy_preprocessor.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace('"policy_preprocessor_step', '"../policy_preprocessor_step')
    )


def statistics_not_finite(folder):
    bad = {"action.mean": torch.zeros(N), "action.std": torch.full((N,), float("nan"))}
    save_file(bad, folder / "policy_postprocessor_step_0.safetensors")


def a_joint_that_never_moved(folder):
    stats = {"observation.state": {**STATE_STATS, "std": torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 1.0])}}
    save_file(flat(stats), folder / "policy_preprocessor_step_0.safetensors")


BAD = {
    no_config: "config.json: got no such file",
    unknown_kind: r"got policy type 'vqbet', expected one of \['act', 'diffusion', 'smolvla'\]",
    an_adapter: "got an adapter",
    another_arm: r"got action of shape \(7,\), expected \(6,\)",
    no_state: "expected 'observation.state' among them",
    no_pictures: "got pictures of no camera",
    no_shape: "got output_features.action .* expected a type and a shape",
    no_weights: r"got no model.safetensors.*\['pytorch_model.bin'\] may be pickles, which are never loaded",
    cut_weights: "expected whole safetensors",
    weights_not_finite: "got 'model.weight' with values that are not finite",
    no_statistics: "got no mean and std of observation.state, expected its normalisation",
    no_output_statistics: "got no std of action",
    unknown_step: "got steps .'map_delta_action_to_robot_action'.",
    statistics_elsewhere: "got state_file '../",
    statistics_not_finite: "got std of action",
    a_joint_that_never_moved: "observation.state that was always",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_what_cannot_be_used_is_one_clear_error_and_leaves_nothing(checkpoint, tmp_path, capsys, spoil):
    spoil(checkpoint)
    with pytest.raises(InputError, match=BAD[spoil]):
        read_checkpoint(checkpoint, N)
    out = tmp_path / "out" / "bundle"
    camera = f"{FRONT}=overhead"
    assert cli.main(["import-lerobot", str(checkpoint), "--out", str(out), "--task", "reach", "--camera", camera]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not out.parent.exists()


@pytest.mark.skipif(importlib.util.find_spec("lerobot") is not None, reason="lerobot is installed")
def test_without_lerobot_a_good_checkpoint_says_what_is_missing(checkpoint, tmp_path, capsys):
    arguments = ["import-lerobot", str(checkpoint), "--out", str(tmp_path / "bundle"), "--task", "reach"]
    assert cli.main([*arguments, "--camera", "front=overhead"]) == 2
    error = capsys.readouterr().err
    assert "'lerobot', which is not installed" in error
    assert "docs/lerobot.md" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint"]


def test_a_folder_that_is_no_bundle_is_not_replaced(checkpoint, capsys):
    assert cli.main(["import-lerobot", str(checkpoint), "--out", str(checkpoint), "--task", "reach"]) == 2
    assert "got something that is no bundle" in capsys.readouterr().err
    assert (checkpoint / "config.json").is_file()


def test_cameras_are_matched_by_column_by_name_or_not_at_all(checkpoint):
    read = read_checkpoint(checkpoint, N)
    assert (
        match_cameras(read, ROBOT, {FRONT: "wrist"})
        == match_cameras(read, ROBOT, {"front": "wrist"})
        == {FRONT: "wrist"}
    )
    with pytest.raises(ConfigError, match=r"got camera 'front' for observation.images.front, .*--camera"):
        match_cameras(read, ROBOT, {})
    with pytest.raises(ConfigError, match=r"got cameras \['observation.images.side'\]"):
        match_cameras(read, ROBOT, {"front": "wrist", "side": "overhead"})
    wrist = SimpleNamespace(**vars(read) | {"pictures": {FRONT: (48, 64), "observation.images.wrist": (48, 64)}})
    with pytest.raises(ConfigError, match="a different one for each"):
        match_cameras(wrist, ROBOT, {"front": "wrist"})


@pytest.mark.parametrize(
    "values",
    [{"fps": 0.0}, {"fps": float("nan")}, {"steps": 0}, {"infer_every": 121}],
    ids=str,
)
def test_orders_that_cannot_be_are_refused(values):
    with pytest.raises(ConfigError):
        order(**values)


def test_options_of_other_kinds_are_refused(checkpoint, tmp_path):
    read = read_checkpoint(checkpoint, N)
    for values in ({"vlm": tmp_path}, {"steps": 4}):
        with pytest.raises(ConfigError, match="expected"):
            order(**values).check(read)


@pytest.mark.parametrize("units", list(Units))
def test_radians_go_in_and_out_as_the_checkpoint_has_them(checkpoint, units):
    """The graphs' constants do what units.py and the statistics say, whatever the checkpoint's order of joints."""
    names = [f"{name}.pos" for name in reversed(ROBOT.joint_names)]
    read, rng = read_checkpoint(checkpoint, N), np.random.default_rng(1)
    joints = Joints(read, order(units=units, joints=tuple(names)).frame(ROBOT))
    q = rng.uniform(ROBOT.lower, ROBOT.upper, (4, N))
    theirs = from_radians(q, ROBOT, units)[:, ::-1]
    seen = joints.seen(torch.tensor(q, dtype=torch.float32)).numpy()
    expected = (theirs - STATE_STATS["mean"].numpy()) / STATE_STATS["std"].numpy()
    np.testing.assert_allclose(seen, expected, atol=2e-5)
    said = (theirs - ACTION_STATS["mean"].numpy()) / ACTION_STATS["std"].numpy()
    prefix = torch.full((1, N), 7.0)
    positions = joints.positions(torch.tensor(said.copy(), dtype=torch.float32), prefix).numpy()
    np.testing.assert_array_equal(positions[:1], prefix.numpy())
    np.testing.assert_allclose(positions[1:], q[1:], atol=2e-6)


def test_pictures_are_scaled_as_the_checkpoint_says(checkpoint):
    images = np.random.default_rng(0).integers(0, 256, (1, 48, 64, 3), dtype=np.uint8)
    seen = Pictures(read_checkpoint(checkpoint, N), (FRONT,))(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(seen, (images.transpose(0, 3, 1, 2) / 255.0 - 0.4) / 0.2, atol=1e-5)


@pytest.mark.parametrize(("mode", "names"), [("MIN_MAX", ("min", "max")), ("QUANTILES", ("q01", "q99"))])
def test_ranges_become_minus_one_to_one(mode, names):
    low, high = np.array([-30.0, 0.0]), np.array([50.0, 100.0])
    scale = scale_of("x", 2, mode, dict(zip(names, (low, high), strict=True)), 1e-8, "here")
    np.testing.assert_allclose((low - scale.shift) / scale.width, -1.0)
    np.testing.assert_allclose((high - scale.shift) / scale.width, 1.0)
    np.testing.assert_allclose(scale.span + scale.shift, high)


def test_what_the_policy_says_may_stand_still():
    stats = {"min": np.zeros(2), "max": np.array([0.0, 1.0])}
    assert scale_of("action", 2, "MIN_MAX", stats, 1e-8, "here", read=False).span[0] < 1e-7
    with pytest.raises(InputError, match="always"):
        scale_of("observation.state", 2, "MIN_MAX", stats, 1e-8, "here")


def test_a_step_that_knows_the_noise_goes_along_the_line_to_what_is_denoised():
    clean, noise = torch.tensor([0.3, -0.8]), torch.tensor([1.5, 0.2])
    kept, after = 0.36, 0.81
    step = Step(
        time=3,
        clean=kept**0.5,
        noisy=(1 - kept) ** 0.5,
        says_noise=True,
        limit=1.0,
        of_clean=after**0.5,
        of_x=0.0,
        of_noise=(1 - after) ** 0.5,
        again=0.0,
    )
    x = step.clean * clean + step.noisy * noise
    expected = after**0.5 * clean + (1 - after) ** 0.5 * noise
    np.testing.assert_allclose(step.after(x, noise, None), expected, atol=1e-6)


@pytest.mark.parametrize(("inference_ms", "every", "fits"), [(2.0, 40, True), (320.0, 39, True), (900.0, 108, False)])
def test_chunks_are_made_as_often_as_lerobot_does_or_this_machine_can(inference_ms, every, fits):
    parts = SimpleNamespace(horizon=30, replan=10)
    pace = Pace.of(parts, 30.0, inference_ms)
    assert (pace.chunk, pace.infer_every, pace.fits) == (116, every, fits)


def test_instructions_reach_a_language_model_as_their_dataset_says_them(tmp_path):
    from tokenizers import Tokenizer as Pairs  # noqa: PLC0415
    from tokenizers.models import BPE  # noqa: PLC0415
    from tokenizers.pre_tokenizers import ByteLevel  # noqa: PLC0415
    from tokenizers.trainers import BpeTrainer  # noqa: PLC0415

    said = ("Pick up the Cube (red)!", "put it down.")
    pairs = Pairs(BPE())
    pairs.pre_tokenizer = ByteLevel(add_prefix_space=False)
    alphabet = ByteLevel.alphabet()
    pairs.train_from_iterator(
        said, BpeTrainer(special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False)
    )
    pairs.save(str(tmp_path / "tokenizer.json"))
    path = tmp_path / "bundle.json"
    first = write_tokenizer(path, said, tmp_path, 48)
    tokenizer = Tokenizer(path, words_of(said), 48)
    for text, theirs in ((said[0], said[0]), (said[1], said[1]), ("put it up", "put it up")):
        tokens = tokenizer.encode(text)
        assert [token for token in tokens if token] == pairs.encode(f"{theirs}\n").ids
    np.testing.assert_array_equal(first, tokenizer.encode(said[0]))
    change(tmp_path, "tokenizer.json", added_tokens=[])
    with pytest.raises(InputError, match="got token 0"):
        write_tokenizer(path, said, tmp_path, 48)
