"""Bags of before a message had a field are read, without it; what is newer has it."""

import numpy as np
import pytest
from bag_world import header, stamp
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from so_arm_policy.core.errors import InputError
from so_arm_policy.core.paths import SOURCE_ROOT
from so_arm_policy.evaluate.bags.messages import check_supervisor_tick
from so_arm_policy.evaluate.bags.playback import Playback, PlaybackOptions
from so_arm_policy.evaluate.bags.reader import Bag, Decoder
from so_arm_policy.evaluate.bags.types import decoded, decoded_of_any_version, encoded, message
from so_arm_policy.evaluate.bags.writer import BagWriter
from so_arm_policy.robot.description import load_robot

KIND = "so_arm_policy/msg/SupervisorTick"


@pytest.fixture(scope="module")
def before():
    """The types as they were: the definition without the line."""
    lines = (SOURCE_ROOT / "msg/SupervisorTick.msg").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("uint64 sequence ")]
    assert len(kept) == len(lines) - 1
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg("\n".join(kept), KIND))
    return store


def values(i, n):
    """A tick with `n` sources and as many joints: 0 as before anything is known."""
    return {
        "header": header(1_700_000_000_000_000_000 + i),
        "now_ns": 90_000_000_000 + i,
        "joints_stamp": stamp(7 * n),
        "joints_received_ns": 5 * n,
        "motors_stamp": stamp(0),
        "motors_received_ns": 0,
        "sources": ["system1", "hold", "pid"][:n],
        "sequences": np.arange(n, dtype=np.uint64),
        "stamps": [stamp(3)] * n,
        "received_ns": np.arange(n, dtype=np.int64),
        "estop": "",
        "reset": False,
        "select": "",
        "fault_codes": [],
        "fault_texts": [],
        "fault_latches": np.zeros(0, dtype=np.bool_),
        "selected": "system1",
        "verdict": "HOLD",
        "state": 0,
        "reason_code": "time.no_state" if i % 2 else "",
        "reason_text": "joint state: got none yet, expected one"[: i % 40],
        "doubts": [],
        "slowed": False,
        "limp": False,
        "command": np.linspace(0.0, 1.0, n),
    }


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_ticks_with_and_without_the_number_are_told_apart(before, n):
    for i in range(80):
        old = bytes(before.serialize_cdr(before.types[KIND](**values(i, n)), KIND))
        with pytest.raises(InputError):
            decoded(old, KIND)
        new = encoded(message(KIND, sequence=i, **values(i, n)), KIND)
        with pytest.raises(InputError):
            decoded(new, KIND, earlier=True)
        assert decoded(new, KIND).sequence == i
        got = decoded(old, KIND, earlier=True)
        assert not hasattr(got, "sequence")
        assert (got.now_ns, got.sources, got.command.tolist()) == (
            90_000_000_000 + i,
            values(i, n)["sources"],
            values(i, n)["command"].tolist(),
        )


def test_contexts_with_and_without_novelty_are_told_apart():
    name = "so_arm_policy/msg/SceneContext"
    for size in range(9):
        given = {
            "header": header(1),
            "bundle_id": "b" * size,
            "sequence": 7,
            "instruction": "touch",
            "image_stamps": [stamp(3)],
            "observation_stamp": stamp(4),
            "shape": np.array([1, size], dtype=np.uint32),
            "dtype": "float32",
            "data": np.zeros(4 * size, dtype=np.uint8),
            "inference_ms": 1.5,
        }
        new = encoded(message(name, novelty=0.25, **given), name)
        old = new[:-4]
        with pytest.raises(InputError):
            decoded(old, name)
        with pytest.raises(InputError):
            decoded(new, name, earlier=True)
        assert decoded_of_any_version(new, name).novelty == 0.25
        assert not hasattr(decoded_of_any_version(old, name), "novelty")


def test_a_bag_of_before_is_read_and_its_ticks_are_not_played_to_those_who_know_newer_ones(before, tmp_path):
    writer = BagWriter(tmp_path / "bag")
    topic = writer.add_topic("/safety/tick", KIND)
    for i in range(10):
        assert writer.write(topic, i, bytes(before.serialize_cdr(before.types[KIND](**values(i, 2)), KIND)))
    writer.close()
    decoder = Decoder()
    ticks = [decoder.message(record, KIND) for record in Bag(tmp_path / "bag").records()]
    assert [t.now_ns for t in ticks] == [90_000_000_000 + i for i in range(10)]
    assert not decoder.skipped
    playback = Playback(Bag(tmp_path / "bag"), PlaybackOptions())
    with pytest.raises(InputError, match="nothing to play"):
        list(playback.items())
    assert playback.skipped == {f"/safety/tick: no whole {KIND}": 10}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"state": 99}, "state: got 99, expected one of"),
        ({"sequences": np.zeros(5, dtype=np.uint64)}, "sources: got 2 and arrays of other lengths"),
        ({"fault_texts": ["why"]}, "faults: got 0 and other lengths"),
        ({"command": np.zeros(3)}, "command: got .* expected none or 6 finite numbers"),
        ({"command": np.full(6, np.nan)}, "command: got .* expected none or 6 finite numbers"),
    ],
)
def test_a_tick_that_no_supervisor_says_is_one_error(change, complaint):
    good = {**values(0, 2), "command": np.zeros(6)}
    robot = load_robot("so101")
    check_supervisor_tick(message(KIND, sequence=0, **good), robot)
    with pytest.raises(InputError, match=f"supervisor_tick {complaint}"):
        check_supervisor_tick(message(KIND, sequence=0, **{**good, **change}), robot)
