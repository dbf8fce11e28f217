"""A policy on bags of others: names by a map, topics that lack, clocks that jump, and how far predictions are off."""

import numpy as np
import pytest
from bag_world import JOINT_STATE, STRING, header, joint_state, text_message
from tiny_bundle import REACH_CORPUS, write_tiny_bundle

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.values import Chunk
from so_arm_policy.evaluate.bags.evaluation import evaluate_bag
from so_arm_policy.evaluate.bags.horizon import HorizonError
from so_arm_policy.evaluate.bags.images import COMPRESSED, IMAGE, compressed
from so_arm_policy.evaluate.bags.reader import Bag
from so_arm_policy.evaluate.bags.report import as_mapping, lines
from so_arm_policy.evaluate.bags.roles import Roles, camera_picture
from so_arm_policy.evaluate.bags.types import encoded, message
from so_arm_policy.evaluate.bags.writer import BagWriter
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.robot.description import load_robot
from so_arm_policy.safety.config import SupervisorConfig

ROBOT = load_robot("so101")
N = len(ROBOT.joints)
S = 10**9
SAFETY = SupervisorConfig(sources=("system1",))
MAP = {"joint_states": "/follower", "action": "/leader", "overhead": "/cam_high", "wrist": "/cam_wrist"}


def chunk(start_ns, rows, dt_ns=100_000_000):
    positions = np.array(rows, dtype=np.float64)
    return Chunk(
        sequence=0,
        observation_stamp_ns=start_ns,
        context_stamp_ns=start_ns,
        start_ns=start_ns,
        dt_ns=dt_ns,
        positions=positions,
    )


def test_the_error_is_that_of_each_row_against_the_action_at_its_time():
    errors = HorizonError(1)
    errors.predicted(chunk(S, [[0.0], [1.0], [5.0]]))
    for tenth in range(9, 13):
        errors.recorded(tenth * S // 10, np.array([tenth / 10 - 1.0]))
    np.testing.assert_array_equal(errors.counts, [1, 1, 1])
    np.testing.assert_allclose(errors.mean[:, 0], [0.0, 0.9, 4.8], atol=1e-12)
    np.testing.assert_allclose(errors.rms, errors.mean)


def test_nothing_is_compared_across_a_gap_or_a_jump():
    errors = HorizonError(1)
    errors.predicted(chunk(S, [[0.0], [1.0]]))
    errors.recorded(S // 2, np.zeros(1))
    errors.recorded(2 * S, np.zeros(1))
    errors.predicted(chunk(3 * S, [[0.0], [1.0]]))
    errors.forget()
    errors.recorded(3 * S, np.zeros(1))
    errors.recorded(3 * S + S // 10, np.zeros(1))
    assert errors.counts.tolist() == [0, 0]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    write_tiny_bundle(folder, ROBOT, REACH_CORPUS)
    return load_bundle(folder, ROBOT)


def foreign_bag(folder, seconds=2.0, jump_ns=0, size=(48, 64)):
    """Joints by other names at 100 Hz, large JPEG pictures at 20 Hz, actions; a clock that may jump in the middle."""
    random = np.random.default_rng(0)
    rgb = random.integers(0, 256, (*size, 3), dtype=np.uint8).reshape(-1)
    sizes = {"height": size[0], "width": size[1], "step": 3 * size[1], "is_bigendian": 0}
    picture = compressed(encoded(message(IMAGE, header=header(5), encoding="rgb8", data=rgb, **sizes), IMAGE), "jpeg")
    names = [f"{name}.pos" for name in ROBOT.joint_names]
    writer = BagWriter(folder)
    joints, actions = (writer.add_topic(name, JOINT_STATE) for name in ("/follower", "/leader"))
    cameras = [writer.add_topic(name, COMPRESSED) for name in ("/cam_high/compressed", "/cam_wrist/compressed")]
    for i in range(round(seconds * 100)):
        at_ns = 50 * S + i * S // 100 + (jump_ns if i >= seconds * 50 else 0)
        state = joint_state(7, names, ROBOT.home)
        writer.write(joints, at_ns, state)
        writer.write(actions, at_ns, state)
        for camera in cameras if i % 5 == 0 else []:
            writer.write(camera, at_ns, picture)
    writer.close()
    return Bag(folder)


def run(bag, bundle, **options):
    options = {"instruction": "touch the red cube", **options}
    return evaluate_bag(bag, bundle, ROBOT, Roles(bag, ROBOT, MAP), SAFETY, **options)


def test_a_bag_of_others_runs_by_a_map_of_its_names(tmp_path, bundle):
    result = run(foreign_bag(tmp_path / "bag"), bundle)
    assert result.mode == "timed"
    assert sum(result.actions.values()) == 238  # of the 1.99 s after the first joint state
    assert result.actions["PASS"] > 100
    assert 15 <= len(result.latency_ms["system2"]) <= 21
    assert result.errors.counts[0] > 50
    assert not result.skipped
    assert as_mapping(result)["verdicts"] == dict(result.actions)
    assert any("system1" in line for line in lines(result))


def test_the_same_bag_gives_the_same_result(tmp_path, bundle):
    bag = foreign_bag(tmp_path / "bag")
    first, second = (run(bag, bundle) for _ in range(2))
    np.testing.assert_array_equal(first.errors.mean, second.errors.mean)
    assert first.codes == second.codes


@pytest.mark.parametrize("jump_s", [-20, 3600])
def test_after_a_jump_of_the_clock_all_begins_anew(tmp_path, bundle, jump_s):
    result = run(foreign_bag(tmp_path / "bag", jump_ns=jump_s * S), bundle)
    assert result.jumps == 1
    assert sum(result.actions.values()) < 2 * 120 + 2
    assert result.actions["PASS"] > 100


@pytest.mark.parametrize("mode", ["timed", "again"])
def test_a_bag_without_what_is_needed_is_refused_by_name(tmp_path, bundle, mode):
    bag = foreign_bag(tmp_path / "bag", seconds=0.1)
    with pytest.raises(InputError, match=r"got topics .*/follower.*expected joint_states \(/joint_states\)"):
        evaluate_bag(bag, bundle, ROBOT, Roles(bag, ROBOT, {}), SAFETY, mode)
    with pytest.raises(InputError, match="instruction"):
        run(bag, bundle, instruction=None)


def test_messages_that_cannot_be_used_are_counted_and_the_rest_goes_on(tmp_path, bundle):
    writer = BagWriter(tmp_path / "bag")
    joints, words = writer.add_topic("/joint_states", JOINT_STATE), writer.add_topic("/instruction", STRING)
    pictures = [writer.add_topic(f"/{c}/image_raw", STRING) for c in ROBOT.camera_names]
    writer.write(joints, S, joint_state(1, ("a",), (0.0,)))
    writer.write(joints, 2 * S, joint_state(1, ROBOT.joint_names, np.full(N, np.nan)))
    writer.write(words, 2 * S, text_message("touch the red cube"))
    for topic in pictures:
        writer.write(topic, 2 * S, text_message("no picture"))
    writer.close()
    bag = Bag(tmp_path / "bag")
    result = evaluate_bag(bag, bundle, ROBOT, Roles(bag, ROBOT, {}), SAFETY)
    assert sum(result.skipped.values()) == 4
    assert sum(result.actions.values()) == 0


def test_pictures_are_taken_raw_where_a_bag_has_them_compressed_as_well(tmp_path):
    random, size = np.random.default_rng(0), (ROBOT.cameras[0].height, ROBOT.cameras[0].width)
    rgb = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    sizes = {"height": size[0], "width": size[1], "step": 3 * size[1], "is_bigendian": 0}
    raw = encoded(message(IMAGE, header=header(5), encoding="rgb8", data=rgb.reshape(-1), **sizes), IMAGE)
    writer = BagWriter(tmp_path / "bag")
    for name in ("/overhead/image_raw", "/theirs"):
        pair = writer.add_topic(name, IMAGE), writer.add_topic(f"{name}/compressed", COMPRESSED)
        writer.write(pair[0], S, raw)
        writer.write(pair[1], S, compressed(raw, "jpeg"))
    writer.close()
    bag = Bag(tmp_path / "bag")
    for given, exact in (({}, True), ({"overhead": "/theirs"}, True), ({"overhead": "/theirs/compressed"}, False)):
        (event,) = Roles(bag, ROBOT, given).events()
        assert np.array_equal(camera_picture(event, ROBOT, exact=True).rgb, rgb) == exact


def test_a_role_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="tail"):
        Roles(foreign_bag(tmp_path / "bag", seconds=0.1), ROBOT, {"tail": "/x"})
