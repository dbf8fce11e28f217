"""What the black box's bag says after a fault that latches: all that was seen and said in the last seconds."""

from black_box_world import finish, listing, read

from so_arm_policy.safety.values import Mode

QUICK_S = 30 / 120


def test_a_fault_that_latches_leaves_a_bag_with_all_that_was_seen_and_said(make_boxed_world):
    world = make_boxed_world()
    for _ in range(60):
        world.step()
    code = world.fail()
    path = world.box.save(code)
    finish(world)

    assert path == world.box.written == path.parent / "black_box_2026-11-23T01-02-03_servo-gone"
    assert listing(path.parent) == [path.name]
    assert listing(path) == [f"{path.name}.mcap", "metadata.yaml"]
    assert world.box.failure == ""
    said, by_topic = read(path)
    counts = {topic: len(found) for topic, found in by_topic.items()}
    names = ["/proposal/pid", "/proposal/hold", "/joint_states", "/joint_command", "/safety/status"]
    assert counts == dict.fromkeys(names, 61)
    # What the live topics carry, in the order of the ticks.
    assert [m for m in said if m[0] != "/safety/status"] == world.messages()
    assert [topic for topic, _, _ in said[:5]] == names


def test_the_status_of_each_tick_is_its_verdict(make_boxed_world):
    world = make_boxed_world()
    for _ in range(5):
        world.step()
    path = world.box.save(world.fail())
    finish(world)
    statuses = read(path)[1]["/safety/status"]
    for status, (tick, verdict) in zip(statuses, world.noted, strict=True):
        assert status.header.stamp.sec * 10**9 + status.header.stamp.nanosec == tick.ros_now_ns
        said = (status.state, status.source, status.verdict, status.reason_code, status.reason_text)
        assert said == (verdict.mode, verdict.source, verdict.action.value, verdict.code, verdict.text)
        assert status.worst_margin == (1.0 if verdict.margin is None else verdict.margin)
    assert {Mode(status.state) for status in statuses} == {Mode.ACTIVE, Mode.ESTOP}
    assert (statuses[-1].reason_code, statuses[-1].verdict) == ("servo.gone", "ESTOP")


def test_what_did_not_change_is_said_once(make_boxed_world):
    world = make_boxed_world()
    sample, proposals = world.sample(), {"pid": world.proposal()}
    for _ in range(4):
        world.tick(proposals, sample)
    proposals = {**proposals, "hold": world.proposal("hold")}
    for _ in range(3):
        world.tick(proposals, sample)
    path = world.box.save("test")
    finish(world)
    said, by_topic = read(path)
    assert {topic: len(found) for topic, found in by_topic.items()} == {
        "/proposal/pid": 1,
        "/proposal/hold": 1,
        "/joint_states": 1,
        "/joint_command": 7,
        "/safety/status": 7,
    }
    seen = {topic: at_ns for topic, at_ns, _ in reversed(said)}
    assert seen["/proposal/pid"] == seen["/joint_states"] == world.noted[0][0].ros_now_ns
    assert seen["/proposal/hold"] == world.noted[4][0].ros_now_ns


def test_before_the_first_joint_state_there_is_no_command_in_the_bag(make_boxed_world):
    world = make_boxed_world()
    world.tick({})
    path = world.box.save("estop.request")
    finish(world)
    assert list(read(path)[1]) == ["/safety/status"]


def test_only_the_last_ticks_are_kept(make_boxed_world):
    world = make_boxed_world(seconds=QUICK_S)
    for _ in range(100):
        world.step()
    path = world.box.save("test")
    for _ in range(5):  # what comes after the fault is not in the bag, even while that is written
        world.step()
    finish(world)
    world.noted = world.noted[70:100]
    said, by_topic = read(path)
    assert len(by_topic["/safety/status"]) == 30
    assert [m for m in said if m[0] != "/safety/status"] == world.messages()


def test_a_clock_that_goes_back_loses_nothing(make_boxed_world):
    world = make_boxed_world()
    for _ in range(4):
        world.step()
    world.ros_ns -= 10**9
    for _ in range(3):
        world.step()
    path = world.box.save("time.clock_back")
    finish(world)
    said = [m for m in read(path)[0] if m[0] != "/safety/status"]
    assert said == sorted(world.messages(), key=lambda m: m[1])  # readers put them in the order of log time
