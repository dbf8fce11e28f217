"""System 2: pictures, instruction and joints in, context out."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_bundle import CORPUS, system2_outputs

from so_arm_policy.core.errors import BundleError, InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import CameraImage, JointSample
from so_arm_policy.policy.bundle import Bundle
from so_arm_policy.policy.preprocess import resize
from so_arm_policy.policy.system2 import System2
from so_arm_policy.robot.description import load_robot

NS = 1_000_000_000


@pytest.fixture
def system2(shared_bundle: Bundle, robot: RobotConfig) -> System2:
    return System2(shared_bundle, robot)


@pytest.fixture
def images(robot: RobotConfig) -> dict[str, CameraImage]:
    random = np.random.default_rng(3)
    return {
        camera.name: CameraImage(
            camera=camera.name,
            stamp_ns=NS + index * 1000,
            rgb=random.integers(0, 256, (camera.height, camera.width, 3), dtype=np.uint8),
        )
        for index, camera in enumerate(robot.cameras)
    }


@pytest.fixture
def sample(robot: RobotConfig) -> JointSample:
    return JointSample(stamp_ns=NS, received_ns=5, q=robot.home, dq=np.zeros(6))


def test_context_is_what_the_graph_computes_from_the_resized_pictures(system2, images, sample, shared_bundle) -> None:
    context = system2.encode(images, CORPUS[0], sample)
    manifest = shared_bundle.manifest
    feed = {
        "images": np.stack([resize(images[c].rgb, 12, 16) for c in manifest.cameras]),
        "tokens": shared_bundle.tokenizer().encode(CORPUS[0]),
        "state": sample.q.astype(np.float32),
    }
    expected = system2_outputs(manifest, feed)
    assert context.keys_values == pytest.approx(expected["keys_values"], abs=1e-6)
    assert system2.last_grounding == pytest.approx(expected["grounding"])
    assert system2.last_attention == pytest.approx(expected["attention"], abs=1e-6)
    assert (context.bundle_id, context.instruction) == (manifest.id, CORPUS[0])
    assert not context.keys_values.flags.writeable


def test_stamps_are_in_camera_order_and_the_oldest_counts(system2, images, sample) -> None:
    context = system2.encode(dict(reversed(images.items())), CORPUS[0], sample)
    assert context.image_stamps_ns == (NS, NS + 1000)
    assert context.stamp_ns == NS


def test_sequence_counts_up_and_an_error_does_not_count(system2, images, sample) -> None:
    assert system2.encode(images, CORPUS[0], sample).sequence == 0
    with pytest.raises(InputError):
        system2.encode(images, "dance", sample)
    assert system2.encode(images, CORPUS[1], sample).sequence == 1


def test_same_inputs_same_bits(system2, images, sample) -> None:
    first, second = (system2.encode(images, CORPUS[0], sample) for _ in range(2))
    assert (first.keys_values == second.keys_values).all()


def test_pictures_that_stand_still_while_the_arm_moves_are_refused_until_they_change(system2, images, sample) -> None:
    def again(k: int) -> dict[str, CameraImage]:
        return {name: replace(p, stamp_ns=p.stamp_ns + k * NS) for name, p in images.items()}

    moved = replace(sample, q=sample.q + 0.3)
    assert system2.encode(again(0), CORPUS[0], sample).sequence == 0
    assert system2.encode(again(1), CORPUS[0], sample).sequence == 1
    with pytest.raises(InputError, match="camera 'overhead': got the same picture for 2.0 s while the arm moved 0.30"):
        system2.encode(again(2), CORPUS[0], moved)
    assert system2.encode_again(again(2), CORPUS[0], moved).sequence == 2
    other = {name: replace(p, rgb=255 - p.rgb) for name, p in again(3).items()}
    assert system2.encode(other, CORPUS[0], moved).sequence == 3
    assert system2.encode(again(4), CORPUS[0], moved).sequence == 4
    system2.reset()
    assert system2.encode(again(5), CORPUS[0], sample).sequence == 5


def test_a_missing_camera_is_named(system2, images, sample) -> None:
    del images["wrist"]
    with pytest.raises(InputError, match=r"camera 'wrist': got pictures of \['overhead'\]"):
        system2.encode(images, CORPUS[0], sample)


@pytest.mark.parametrize(
    ("rgb", "message"),
    [
        (np.zeros((120, 161, 3), np.uint8), r"camera 'overhead': got shape \(120, 161, 3\).*expected \(120, 160, 3\)"),
        (np.zeros((160, 120, 3), np.uint8), r"got shape \(160, 120, 3\) of uint8, expected \(120, 160, 3\) of uint8"),
        (np.zeros((120, 160, 3), np.float32), "of float32, expected"),
        (np.zeros((120, 160), np.uint8), r"got shape \(120, 160\)"),
    ],
)
def test_a_picture_of_another_size_or_type_is_refused(system2, images, sample, rgb, message) -> None:
    images["overhead"] = replace(images["overhead"], rgb=rgb)
    with pytest.raises(InputError, match=message):
        system2.encode(images, CORPUS[0], sample)


def test_zero_stamps_and_joints_that_are_not_finite(system2, images, sample) -> None:
    with pytest.raises(InputError, match="joints: got"):
        system2.encode(images, CORPUS[0], replace(sample, q=np.full(6, np.nan)))
    with pytest.raises(InputError, match="joints: got"):
        system2.encode(images, CORPUS[0], replace(sample, q=np.zeros(7)))
    images["wrist"] = replace(images["wrist"], stamp_ns=0)
    with pytest.raises(InputError, match="camera 'wrist': got stamp 0 ns"):
        system2.encode(images, CORPUS[0], sample)


def test_a_graph_that_overflows_is_an_error_not_a_context(system2, images, sample) -> None:
    with pytest.raises(BundleError, match=r"system2\.onnx: got keys_values that are not finite"):
        system2.encode(images, CORPUS[0], replace(sample, q=np.full(6, 3e38)))


@pytest.mark.parametrize(("text", "message"), [("", "instruction"), ("touch the purple cube", "unknown words")])
def test_instructions_it_cannot_read(system2, images, sample, text, message) -> None:
    with pytest.raises(InputError, match=message):
        system2.encode(images, text, sample)


def test_another_robot_is_refused(shared_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="expected 'so101_bimanual'"):
        System2(shared_bundle, load_robot("so101_bimanual"))
