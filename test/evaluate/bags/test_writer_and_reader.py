"""What is written is read again, by this package and by rosbags; what is damaged gives what is left."""

import resource
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from bag_world import STRING, joint_state, records_of, text_message, write_bag
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from so_arm_policy.core.errors import InputError
from so_arm_policy.evaluate.bags.metadata import Quality
from so_arm_policy.evaluate.bags.reader import Bag, Decoder
from so_arm_policy.evaluate.bags.types import known_types
from so_arm_policy.evaluate.bags.writer import BagWriter


def test_rosbags_reads_what_is_written_and_finds_the_same_counts_and_times(tmp_path):
    folder = write_bag(tmp_path / "bag", count=3_000)
    with Reader(folder) as reader:
        assert reader.message_count == 3_000
        assert (reader.start_time, reader.end_time) == (1000, 1000 + 2_999 * 10 + 1)
        assert {c.topic: c.msgcount for c in reader.connections} == {"/a": 1_500, "/b": 1_500}
        first = reader.connections[0].ext.offered_qos_profiles[0]
        assert (first.reliability.name, first.durability.name, first.depth) == ("BEST_EFFORT", "VOLATILE", 5)
        got = [(c.topic, t, d) for c, t, d in reader.messages()]
    assert got == [(r.topic, r.time_ns, r.data) for r in Bag(folder).records()]
    assert len(list(folder.glob("*.mcap"))) == 1


def test_the_metadata_alone_and_the_file_alone_say_the_same(tmp_path):
    folder = write_bag(tmp_path / "bag", count=10)
    told = yaml.safe_load((folder / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert told["message_count"] == 10
    assert told["files"][0]["path"] == "bag_0.mcap"
    (folder / "metadata.yaml").unlink()
    with Reader(folder / "bag_0.mcap") as reader:
        assert reader.message_count == 10
    assert records_of(folder) == records_of(folder / "bag_0.mcap")


@pytest.mark.parametrize("plugin", list(StoragePlugin))
@pytest.mark.parametrize("version", [8, 9])
def test_bags_of_others_are_read_from_both_storages(tmp_path, plugin, version):
    with Writer(tmp_path / "bag", version=version, storage_plugin=plugin) as writer:
        topic = writer.add_connection("/x", STRING, typestore=known_types())
        for i in range(5):
            writer.write(topic, i, text_message(str(i)))
    messages = [Decoder().message(r, STRING).data for r in Bag(tmp_path / "bag").records()]
    assert messages == ["0", "1", "2", "3", "4"]


def test_a_bag_of_humble_is_read_without_newer_fields(tmp_path):
    with Writer(tmp_path / "bag", version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        writer.write(writer.add_connection("/x", STRING, typestore=known_types()), 7, text_message("old"))
    path = tmp_path / "bag/metadata.yaml"
    told = yaml.safe_load(path.read_text())
    inner = told["rosbag2_bagfile_information"]
    inner["version"] = 5
    for name in ("custom_data", "ros_distro"):
        del inner[name]
    for topic in inner["topics_with_message_count"]:
        del topic["topic_metadata"]["type_description_hash"]
    path.write_text(yaml.safe_dump(told))
    assert [r.message().data for r in Bag(tmp_path / "bag").records()] == ["old"]


def test_a_file_cut_off_anywhere_gives_what_came_before(tmp_path):
    folder = write_bag(tmp_path / "bag", count=2_500)
    whole = (folder / "bag_0.mcap").read_bytes()
    everything = records_of(folder)
    cuts = [8, 9, 60, len(whole) // 3, len(whole) // 2, len(whole) - 100, len(whole) - 1]
    kept = []
    for cut in cuts:
        path = tmp_path / "cut.mcap"
        path.write_bytes(whole[:cut])
        got = records_of(path)
        assert got == everything[: len(got)]
        kept.append(len(got))
    assert kept == sorted(kept)
    assert kept[-1] == len(everything)


def test_damage_in_one_chunk_leaves_the_others_and_is_counted(tmp_path):
    folder = write_bag(tmp_path / "bag", count=4_000)
    data = bytearray((folder / "bag_0.mcap").read_bytes())
    data[1_500_000] ^= 0xFF
    (folder / "bag_0.mcap").write_bytes(data)
    bag = Bag(folder)
    left = sum(1 for _ in bag.records())
    assert 2_000 < left < 4_000
    assert sum(bag.damage.values()) == 1


@pytest.mark.parametrize("seed", range(40))
def test_garbage_never_does_more_than_an_input_error(tmp_path, seed):
    random = np.random.default_rng(seed)
    folder = write_bag(tmp_path / "bag", count=20)
    data = bytearray((folder / "bag_0.mcap").read_bytes())
    for at in random.integers(0, len(data), 30):
        data[at] = random.integers(0, 256)
    (folder / "bag_0.mcap").write_bytes(data[: random.integers(len(data) // 2, len(data) + 1)])
    decoder = Decoder()
    try:
        for record in Bag(folder).records():
            decoder.message(record)
    except InputError:
        pass


@pytest.mark.parametrize("suffix", [".mcap", ".db3"])
@pytest.mark.parametrize("content", [b"", b"\x89MCAP0\r\n"[:5], b"hello world" * 50, b"\x80\x04cos\nsystem\n."])
def test_what_is_no_bag_is_refused_with_a_reason(tmp_path, suffix, content):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"expected (an MCAP file|a bag that can be read)"):
        list(Bag(path).records())


def test_no_bag_an_empty_folder_and_a_strange_file_are_refused(tmp_path):
    for path in (tmp_path / "none", tmp_path, tmp_path / "notes.txt"):
        (tmp_path / "notes.txt").write_text("x")
        with pytest.raises(InputError, match="expected"):
            Bag(path)


def test_an_empty_bag_is_a_bag(tmp_path):
    BagWriter(tmp_path / "bag").close()
    assert records_of(tmp_path / "bag") == []


def test_sizes_that_no_file_has_allocate_nothing(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for size in (2**63, 2**40, 2**31):
        path = tmp_path / f"{size}.mcap"
        path.write_bytes(b"\x89MCAP0\r\n" + struct.pack("<BQ", 6, size) + b"x" * 100)
        assert records_of(path) == []
        bomb = struct.pack("<QQQI", 0, 0, size, 0) + struct.pack("<I", 4) + b"zstd" + struct.pack("<Q", 3) + b"abc"
        path.write_bytes(b"\x89MCAP0\r\n" + struct.pack("<BQ", 6, len(bomb)) + bomb)
        assert records_of(path) == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_definition_in_a_bag_is_never_run(tmp_path):
    """rosbags makes Python code of definitions; this one would write a file if that code were run."""
    trap = tmp_path / "trap"
    evil = f"string X=\"')\\n__import__('pathlib').Path('{trap}').touch()\\n#\"\nstring data\n"
    writer = BagWriter(tmp_path / "bag")
    channel = writer._file.add_channel("/x", "evil_msgs/msg/Evil", evil, {})
    writer._file.write(channel, 1, text_message("boo"))
    writer._file.flush()
    writer.close()
    decoder = Decoder()
    assert [decoder.message(r) for r in Bag(tmp_path / "bag").records()] == [None]
    assert decoder.skipped == {"unknown type evil_msgs/msg/Evil": 1}
    assert not trap.exists()


def test_metadata_that_names_python_objects_or_other_folders_is_not_followed(tmp_path):
    folder = write_bag(tmp_path / "bag", count=4)
    trap = tmp_path / "trap"
    (folder / "metadata.yaml").write_text(f"!!python/object/apply:os.system ['touch {trap}']")
    assert len(records_of(folder)) == 4
    (folder / "metadata.yaml").write_text(
        "rosbag2_bagfile_information: {relative_file_paths: [../../etc/passwd, /etc/passwd]}"
    )
    assert len(records_of(folder)) == 4
    assert not trap.exists()


def test_messages_of_the_wrong_type_or_cut_short_are_skipped_with_a_count(tmp_path):
    writer = BagWriter(tmp_path / "bag")
    topic = writer.add_topic("/joint_states", "sensor_msgs/msg/JointState")
    other = writer.add_topic("/instruction", STRING)
    good = joint_state(5)
    for data in (good, good[:10], b"", b"\x00\x01\x00\x00" + b"\xff" * 40):
        writer.write(topic, 1, data)
    writer.write(other, 2, text_message("hello"))
    writer.close()
    decoder = Decoder()
    got = [decoder.message(r, "sensor_msgs/msg/JointState") for r in Bag(tmp_path / "bag").records()]
    assert sum(m is not None for m in got) == 1
    assert sum(decoder.skipped.values()) == 4


def test_a_full_disk_ends_the_bag_with_what_was_written_until_then(tmp_path):
    code = f"""
import resource
from pathlib import Path
from so_arm_policy.evaluate.bags.writer import BagWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))
writer = BagWriter(Path({str(tmp_path / "bag")!r}))
topic = writer.add_topic("/x", {STRING!r})
sent = 0
while writer.write(topic, sent, {text_message("x" * 10_000)!r}):
    sent += 1
writer.close()
print(writer.failure, writer.count, writer.lost)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "File too large" in done.stdout
    taken, lost = map(int, done.stdout.split()[-2:])
    records = records_of(tmp_path / "bag")
    assert [r.time_ns for r in records] == list(range(len(records)))
    assert len(records) == taken - lost > 200
    with Reader(tmp_path / "bag") as reader:
        assert reader.message_count == len(records)
        assert sum(1 for _ in reader.messages()) == len(records)
    assert "File too large" in Bag(tmp_path / "bag").custom["failure"]


def test_qualities_of_service_survive(tmp_path):
    writer = BagWriter(tmp_path / "bag")
    latched = Quality(durability="TRANSIENT_LOCAL", depth=1)
    writer.write(writer.add_topic("/x", STRING, [latched]), 3, text_message("x"))
    writer.close()
    with Reader(tmp_path / "bag") as reader:
        got = reader.connections[0].ext.offered_qos_profiles[0]
    assert (got.durability.name, got.reliability.name, got.depth) == ("TRANSIENT_LOCAL", "RELIABLE", 1)


def test_a_folder_that_exists_is_not_written_to(tmp_path):
    with pytest.raises(InputError, match="new folder"):
        BagWriter(tmp_path)
    assert Path(tmp_path).exists()
