"""What is played of a bag, and when: rate, start, loop, names, gaps, clocks that jump, and messages that are none."""

import itertools

import numpy as np
import pytest
from bag_world import JOINT_STATE, STRING, header, joint_state, text_message

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.evaluate.bags.images import COMPRESSED, IMAGE, compressed
from so_arm_policy.evaluate.bags.playback import Playback, PlaybackOptions, read_names
from so_arm_policy.evaluate.bags.reader import Bag
from so_arm_policy.evaluate.bags.types import decoded, encoded, message
from so_arm_policy.evaluate.bags.writer import BagWriter

S = 10**9
RAW, PACKED = "/eye/image_raw", "/eye/image_raw/compressed"


def bag_of(tmp_path, *messages, topics=(("/x", STRING),)):
    writer = BagWriter(tmp_path / "bag")
    numbers = {name: writer.add_topic(name, kind) for name, kind in topics}
    for topic, time_ns, data in messages:
        writer.write(numbers[topic], time_ns, data)
    writer.close()
    return Bag(tmp_path / "bag")


def texts_at(tmp_path, *times_s):
    return bag_of(tmp_path, *(("/x", round(t * S), text_message(str(t))) for t in times_s))


def a_picture():
    pixels = np.random.default_rng(0).integers(0, 256, 24, dtype=np.uint8)
    sizes = {"height": 2, "width": 4, "step": 12, "is_bigendian": 0}
    return encoded(message(IMAGE, header=header(1), encoding="rgb8", data=pixels, **sizes), IMAGE)


def due_s(playback, count=None):
    return [item.due_ns / S for item in itertools.islice(playback.items(), count)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 0.5, 2]),
        ({"rate": 2.0}, [0, 0.25, 1]),
        ({"rate": 0.5}, [0, 1, 4]),
        ({"start_s": 0.25}, [0.25, 1.75]),
        ({"longest_gap_s": 1.0}, [0, 0.5, 1.5]),
    ],
)
def test_messages_are_due_as_they_were_recorded(tmp_path, options, expected):
    playback = Playback(texts_at(tmp_path, 100, 100.5, 102), PlaybackOptions(**options))
    assert due_s(playback) == expected
    assert playback.notes.get("silences cut short", 0) == ("longest_gap_s" in options)


def test_a_loop_begins_again_where_it_ended(tmp_path):
    playback = Playback(texts_at(tmp_path, 1, 2, 3), PlaybackOptions(loop=True))
    assert due_s(playback, 7) == [0, 1, 2, 2, 3, 4, 4]


def test_a_clock_that_jumps_neither_stops_nor_speeds_up_the_rest(tmp_path):
    playback = Playback(texts_at(tmp_path, 100, 101, 5, 6, 6.95, 6.9, 7, 500_000, 500_001), PlaybackOptions())
    assert due_s(playback) == pytest.approx([0, 1, 1, 2, 2.95, 2.95, 3, 13, 14])
    assert playback.notes == {"the clock went back": 1, "silences cut short": 1}


def test_what_moves_a_robot_is_played_only_when_it_is_named(tmp_path):
    topics = [(name, JOINT_STATE) for name in ("/joint_states", "/joint_command", "/cell/joint_command")]
    bag = bag_of(tmp_path, *((name, 1, joint_state(1)) for name, _ in topics), topics=topics)
    assert [i.topic for i in Playback(bag, PlaybackOptions()).items()] == ["/joint_states"]
    chosen = PlaybackOptions(topics=("/joint_command",))
    assert [i.topic for i in Playback(bag, chosen).items()] == ["/joint_command"]


def test_other_people_s_topics_and_joints_get_our_names(tmp_path):
    bag = bag_of(tmp_path, ("/follower", 1, joint_state(1, ("j1", "j2"), (1, 2))), topics=[("/follower", JOINT_STATE)])
    options = PlaybackOptions(topic_names=read_names("/follower=/joint_states", "remap"), joint_names={"j1": "elbow"})
    (item,) = Playback(bag, options).items()
    assert item.topic == "/joint_states"
    assert decoded(item.data, JOINT_STATE).name == ["elbow", "j2"]
    np.testing.assert_array_equal(decoded(item.data, JOINT_STATE).position, [1, 2])


def test_compressed_pictures_are_played_raw_unless_asked_for_as_they_are(tmp_path):
    raw = a_picture()
    bag = bag_of(tmp_path, (PACKED, 1, compressed(raw, "png")), topics=[(PACKED, COMPRESSED)])
    (item,) = Playback(bag, PlaybackOptions()).items()
    assert (item.topic, item.kind, item.data) == (RAW, IMAGE, raw)
    (item,) = Playback(bag, PlaybackOptions(unpack=False)).items()
    assert (item.topic, item.kind) == (PACKED, COMPRESSED)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [(RAW, IMAGE)]),
        ({"unpack": False}, [(RAW, IMAGE), (PACKED, COMPRESSED)]),
        ({"topics": (RAW,)}, [(RAW, IMAGE)]),
        ({"topics": (PACKED,)}, [(RAW, IMAGE)]),
        ({"topic_names": {PACKED: "/other"}}, [(RAW, IMAGE), ("/other", IMAGE)]),
    ],
)
def test_pictures_that_are_in_the_bag_both_raw_and_compressed_are_played_once(tmp_path, options, expected):
    raw = a_picture()
    pair = (RAW, 1, raw), (PACKED, 2, compressed(raw, "jpeg"))
    bag = bag_of(tmp_path, *pair, topics=[(RAW, IMAGE), (PACKED, COMPRESSED)])
    assert [(i.topic, i.kind) for i in Playback(bag, PlaybackOptions(**options)).items()] == expected


def test_a_raw_topic_without_messages_does_not_silence_the_compressed_one(tmp_path):
    raw = a_picture()
    bag = bag_of(tmp_path, (PACKED, 2, compressed(raw, "png")), topics=[(RAW, IMAGE), (PACKED, COMPRESSED)])
    assert bag.kinds == {PACKED: COMPRESSED}
    (item,) = Playback(bag, PlaybackOptions()).items()
    assert (item.topic, item.data) == (RAW, raw)


def test_messages_that_are_none_are_skipped_with_a_count(tmp_path):
    bag = bag_of(tmp_path, ("/x", 1, b"\x00\x01\x00\x00\xff\xff\xff\xff"), ("/x", 2, text_message("good")))
    playback = Playback(bag, PlaybackOptions())
    assert [decoded(i.data, STRING).data for i in playback.items()] == ["good"]
    assert playback.skipped == {f"/x: no whole {STRING}": 1}


def test_nothing_to_play_is_an_error_and_no_endless_loop(tmp_path):
    with pytest.raises(InputError, match="nothing to play"):
        list(Playback(bag_of(tmp_path), PlaybackOptions(loop=True)).items())


@pytest.mark.parametrize(
    "wrong", [{"rate": 0.0}, {"rate": float("nan")}, {"start_s": -1.0}, {"longest_gap_s": float("inf")}]
)
def test_rates_and_times_that_are_none_are_refused(wrong):
    with pytest.raises(ConfigError, match="expected"):
        PlaybackOptions(**wrong)


@pytest.mark.parametrize("text", ["a", "a=", "=b", "a=b,a=c"])
def test_names_must_come_in_pairs(text):
    with pytest.raises(ConfigError, match="OLD=NEW"):
        read_names(text, "remap")
