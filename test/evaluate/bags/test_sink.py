"""The queue between arrival and bag: order, limits, pictures, and a bag that ends early."""

import threading

import numpy as np
import pytest
from bag_world import STRING, header, records_of, text_message

from so_arm_policy.core.errors import InputError
from so_arm_policy.evaluate.bags.images import COMPRESSED, IMAGE, compressed, decompressed
from so_arm_policy.evaluate.bags.sink import Sink
from so_arm_policy.evaluate.bags.types import decoded, encoded, message
from so_arm_policy.evaluate.bags.writer import BagWriter


def image(encoding="rgb8", step=None, height=6, width=8):
    channels = {"rgb8": 3, "bgr8": 3, "mono8": 1, "32FC1": 4}[encoding]
    step = step or width * channels
    data = np.random.default_rng(0).integers(0, 256, step * height, dtype=np.uint8)
    sizes = {"height": height, "width": width, "step": step, "is_bigendian": 0}
    return encoded(message(IMAGE, header=header(5, "eye"), encoding=encoding, data=data, **sizes), IMAGE)


def test_messages_are_written_in_the_order_in_which_they_came(tmp_path):
    sink = Sink(BagWriter(tmp_path / "bag"))
    streams = [sink.stream(name, STRING) for name in ("/a", "/b", "/c")]
    thread = threading.Thread(target=sink.run)
    thread.start()
    for i in range(3000):
        assert sink.put(streams[i % 3], i, text_message(str(i)))
    sink.close()
    thread.join()
    assert [(r.topic, r.time_ns) for r in records_of(tmp_path / "bag")] == [
        ("/" + "abc"[i % 3], i) for i in range(3000)
    ]
    assert not sink.put(streams[0], 1, b"late")
    assert sum(sink.dropped.values()) == 0


def test_what_finds_the_queue_full_is_dropped_and_counted(tmp_path):
    sink = Sink(BagWriter(tmp_path / "bag"), queue_bytes=100)
    stream = sink.stream("/a", STRING)
    data = text_message("x" * 30)
    taken = [sink.put(stream, i, data) for i in range(10)]
    assert taken == [True] * 2 + [False] * 8
    assert sink.dropped == {"/a": 8}
    sink.close()
    sink.run()
    assert [r.time_ns for r in records_of(tmp_path / "bag")] == [0, 1]


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_png_gives_back_every_byte(encoding):
    raw = image(encoding)
    assert decompressed(compressed(raw, "png")) == raw


def test_rows_with_padding_give_the_same_picture_without_it():
    raw = image("rgb8", step=30)
    padded, back = decoded(raw, IMAGE), decoded(decompressed(compressed(raw, "png")), IMAGE)
    assert back.step == 24
    np.testing.assert_array_equal(back.data.reshape(6, 24), padded.data.reshape(6, 30)[:, :24])
    assert (back.header.stamp.nanosec, back.header.frame_id) == (5, "eye")


def test_pictures_go_to_the_compressed_topic_and_others_stay_as_they_are(tmp_path):
    sink = Sink(BagWriter(tmp_path / "bag"), codec="jpeg")
    stream = sink.stream("/eye/image_raw", IMAGE)
    depth = image("32FC1")
    for i, data in enumerate((image(), depth, image("mono8"), b"\x00\x01\x00\x00no picture")):
        sink.put(stream, i, data)
    sink.close()
    sink.run()
    got = records_of(tmp_path / "bag")
    assert [(r.topic, r.kind) for r in got] == [
        ("/eye/image_raw/compressed", COMPRESSED),
        ("/eye/image_raw", IMAGE),
        ("/eye/image_raw/compressed", COMPRESSED),
    ]
    assert got[1].data == depth
    assert got[0].message().format == "rgb8; jpeg compressed bgr8"
    assert sink.spoilt == {"/eye/image_raw": 1}


def test_what_is_no_picture_is_refused():
    for data in (b"", b"\x00" * 20):
        broken = message(COMPRESSED, header=header(1), format="png", data=np.frombuffer(data, np.uint8))
        with pytest.raises(InputError, match="expected a picture"):
            decompressed(encoded(broken, COMPRESSED))


def test_a_bag_given_up_holds_what_waited_and_says_why(tmp_path):
    writer = BagWriter(tmp_path / "bag")
    sink = Sink(writer)
    stream = sink.stream("/a", STRING)
    sink.put(stream, 1, text_message("x"))
    sink.give_up("got no room")
    sink.run()
    assert len(records_of(tmp_path / "bag")) == 1
    assert "got no room" in writer.failure
    assert (writer.lost, writer.count) == (0, 1)
