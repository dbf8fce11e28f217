"""The folder of the black box: names, several bags at once, what cannot be written, and what makes room."""

import os
import re
import resource

from black_box_world import finish, listing, read
from ros_world import wait_until

from so_arm_policy.ros.black_box import KEPT_BAGS, MOST_WAITING


def test_a_second_fault_while_the_first_is_written_is_a_second_bag(make_boxed_world):
    world = make_boxed_world()
    for _ in range(200):
        world.step()
    paths = [world.box.save(world.fail())]
    world.tick({"pid": world.proposal()}, world.sample(), reset=True)
    paths.append(world.box.save(world.fail()))
    paths.append(world.box.save("servo.gone"))
    finish(world)
    assert [path.name.partition("_servo-gone")[2] for path in paths] == ["", "-2", "-3"]
    assert [len(read(path)[1]["/safety/status"]) for path in paths] == [201, 203, 203]


def test_names_are_taken_once_also_by_an_earlier_run(make_boxed_world, tmp_path):
    for _ in range(2):
        world = make_boxed_world()
        world.step()
        path = world.box.save("a/b: ../c")
        finish(world)
    assert path == tmp_path / "boxes" / "black_box_2026-11-23T01-02-03_a-b-c-2"
    assert len(listing(path.parent)) == 2
    assert world.box.save("") == path.with_name("black_box_2026-11-23T01-02-03_unknown")


def test_a_second_arms_box_in_the_same_folder_loses_nothing(make_boxed_world):
    left, right = make_boxed_world(namespace="/left"), make_boxed_world(namespace="/right")
    for world in (left, right):
        world.step()
    first = left.box.save("estop.request")
    finish(left)
    assert right.box.save("estop.request") == first
    finish(right)
    assert right.box.written == first.with_name(f"{first.name}-other-2")
    assert right.box.failure.startswith(f"black box: got {first}, which is somebody else's, expected")
    for bag, name in ((left.box.written, "/left"), (right.box.written, "/right")):
        assert f"{name}/joint_states" in read(bag)[1]


def test_a_folder_that_cannot_be_is_said_and_the_next_bag_is_written(make_boxed_world, tmp_path):
    folder = tmp_path / "file"
    folder.write_text("mine")
    world = make_boxed_world(folder)
    world.step()
    lost = world.box.save("test")
    wait_until(lambda: world.box.failure)
    assert re.fullmatch(rf"black box: got FileExistsError \(.*\), expected to write {lost}: .*", world.box.failure)
    assert (folder.read_text(), world.box.written) == ("mine", None)
    folder.unlink()
    path = world.box.save("test")
    finish(world)
    assert world.box.written == path
    assert listing(folder) == [path.name]


def test_a_full_disk_leaves_nothing_half_written(make_boxed_world, tmp_path):
    world = make_boxed_world()
    for _ in range(120):
        world.step()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))  # bytes: the operating system then refuses as if full
    try:
        world.box.save("test")
        finish(world)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert world.box.failure.startswith("black box: got OSError ([Errno 27]")
    assert listing(tmp_path / "boxes") == []


def test_nothing_noted_and_too_many_waiting_are_said(make_boxed_world, tmp_path):
    world = make_boxed_world()
    world.box.save("test")
    assert world.box.failure.startswith("black box: got no tick yet, expected")
    for _ in range(100):
        world.step()
    paths = []
    while "no tick yet" in world.box.failure:
        paths.append(world.box.save("test"))
    text = f"got {MOST_WAITING} bags that wait to be written, expected"
    assert world.box.failure.startswith(f"black box: {text}")
    assert world.box.failure.endswith(f"no {paths[-1]}")
    finish(world)
    assert listing(tmp_path / "boxes") == sorted(path.name for path in paths[:-1])


def test_the_oldest_bags_make_room_and_nothing_else_is_touched(make_boxed_world, tmp_path):
    folder = tmp_path / "boxes"
    foreign = ["black_box", "black_box_notes", "kept_black_box_2026-11-23T01-02-03_a", "ours"]
    olds = [f"black_box_2030-01-01T00-00-{n:02d}_old" for n in range(KEPT_BAGS + 2)]
    left_over = ".black_box_abcd_123.unfinished"
    for at, name in enumerate([*foreign, left_over, *olds]):
        (folder / name).mkdir(parents=True)
        (folder / name / "content").write_text(name)
        os.utime(folder / name, ns=(at, at))  # older by the disk, though of a later ROS time
    (tmp_path / "elsewhere").mkdir()
    (folder / "black_box_2020-01-01T00-00-00_link").symlink_to(tmp_path / "elsewhere")
    (folder / "black_box_2020-01-01T00-00-00_file").write_text("a file")
    world = make_boxed_world(folder)
    world.step()
    path = world.box.save("new")
    finish(world)
    assert world.box.failure == ""
    links = ["black_box_2020-01-01T00-00-00_link", "black_box_2020-01-01T00-00-00_file"]
    assert listing(folder) == sorted([*foreign, *links, *olds[-(KEPT_BAGS - 1) :], path.name])
