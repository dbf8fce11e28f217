"""Bags whose files were compressed as a whole: read, cut off, missing, and bombs."""

import gc

import pytest
import yaml
from backports import zstd
from bag_world import records_of, text_message, write_bag
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from so_arm_policy.core.errors import InputError
from so_arm_policy.evaluate.bags import unpacking
from so_arm_policy.evaluate.bags.reader import Bag


def packed(folder, data=None):
    """Compress the file of a bag as rosbag2 does with `--compression-mode file`."""
    path = folder / "bag_0.mcap"
    whole = zstd.compress(path.read_bytes() if data is None else data)
    (folder / "bag_0.mcap.zstd").write_bytes(whole)
    path.unlink()
    told = yaml.safe_load((folder / "metadata.yaml").read_text())
    told["rosbag2_bagfile_information"].update(
        compression_mode="FILE", compression_format="zstd", relative_file_paths=["bag_0.mcap.zstd"]
    )
    (folder / "metadata.yaml").write_text(yaml.safe_dump(told))
    return folder / "bag_0.mcap.zstd"


def test_a_packed_file_is_read_as_the_file_itself_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    folder = write_bag(tmp_path / "bag", count=500)
    before = records_of(folder)
    packed(folder)
    bag = Bag(folder)
    assert list(bag.records()) == list(bag.records()) == before
    assert not bag.damage
    del bag
    gc.collect()  # the ways to read a bag know the bag
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_a_bag_that_the_library_packed_is_read(tmp_path, plugin):
    types = get_typestore(Stores.ROS2_JAZZY)
    writer = Writer(tmp_path / "bag", version=Writer.VERSION_LATEST, storage_plugin=plugin)
    writer.set_compression(CompressionMode.FILE, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/said", "std_msgs/msg/String", typestore=types)
        for i in range(10):
            writer.write(connection, i, text_message(str(i)))
    assert [r.message().data for r in Bag(tmp_path / "bag").records()] == [str(i) for i in range(10)]


def test_without_metadata_the_packed_file_is_found(tmp_path):
    folder = write_bag(tmp_path / "bag", count=50)
    before = records_of(folder)
    packed(folder)
    (folder / "metadata.yaml").unlink()
    assert records_of(folder) == before


def test_a_packed_file_cut_off_gives_what_came_before_and_says_so(tmp_path):
    folder = write_bag(tmp_path / "bag", count=20_000)
    before = records_of(folder)
    path = packed(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    bag = Bag(folder)
    got = list(bag.records())
    assert 0 < len(got) < len(before)
    assert got == before[: len(got)]
    assert bag.damage["compressed file cut off: EOFError"] == 1


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "ALWAYS", 1 << 20)
    folder = write_bag(tmp_path / "bag", count=5)
    packed(folder, bytes(64 << 20))
    with pytest.raises(InputError, match=r"bag_0\.mcap\.zstd: got more than 1048576 bytes unpacked"):
        Bag(folder)


def test_a_disk_without_room_is_an_error_that_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "LEFT_FREE", 1 << 60)
    folder = write_bag(tmp_path / "bag", count=5)
    packed(folder)
    with pytest.raises(InputError, match="got a disk that is full after"):
        Bag(folder)


def test_what_is_not_packed_at_all_is_no_bag(tmp_path):
    folder = write_bag(tmp_path / "bag", count=5)
    packed(folder).write_bytes(b"not zstd")
    with pytest.raises(InputError, match="expected an MCAP file"):
        Bag(folder)
