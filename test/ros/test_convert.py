"""Messages to core values and back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image, JointState
from so_arm_policy.msg import MotorStates

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.values import CameraImage, Chunk, Context, MotorCommand, Proposal
from so_arm_policy.robot.description import load_robot
from so_arm_policy.ros import convert
from so_arm_policy.sim.scene import random_scene

ROBOT = load_robot("so101")
N = len(ROBOT.joints)
angles = st.lists(st.floats(-3, 3), min_size=N, max_size=N).map(np.array)
stamps = st.integers(0, 2**31 * 10**9 - 1)


def through_the_wire(msg):
    return deserialize_message(serialize_message(msg), type(msg))


@given(stamps)
def test_stamps_keep_every_nanosecond(ns):
    assert convert.stamp_ns(through_the_wire(convert.time_msg(ns))) == ns


@given(angles, angles, stamps)
def test_joint_states_come_back(q, dq, ns):
    sample = convert.joint_sample(through_the_wire(convert.joint_state(ROBOT, ns, q, dq)), ROBOT, 7)
    np.testing.assert_array_equal(sample.q, q)
    np.testing.assert_array_equal(sample.dq, dq)
    assert (sample.stamp_ns, sample.received_ns) == (ns, 7)


@given(angles, st.permutations(range(N)))
def test_joints_are_found_by_name_in_any_order_among_others(q, order):
    names = [ROBOT.joint_names[i] for i in order]
    msg = JointState(name=[*names, "somebody_elses"], position=[*(float(q[i]) for i in order), math.nan])
    np.testing.assert_array_equal(convert.joint_sample(msg, ROBOT, 0).q, q)


def test_names_of_others_are_understood_and_no_velocity_is_zero():
    msg = JointState(name=[f"{n}_joint" for n in ROBOT.joint_names], position=[0.1] * N)
    sample = convert.joint_sample(msg, ROBOT, 0)
    np.testing.assert_array_equal(sample.q, [0.1] * N)
    np.testing.assert_array_equal(sample.dq, [0.0] * N)


@pytest.mark.parametrize(
    ("names", "positions", "complaint"),
    [
        (ROBOT.joint_names[1:], [0.0] * (N - 1), "expected .'shoulder_pan'. too"),
        (ROBOT.joint_names, [0.0] * (N - 1), "6 names and 5 values"),
        ((*ROBOT.joint_names, "gripper"), [0.0] * (N + 1), "'gripper' twice"),
        (ROBOT.joint_names, [math.nan, *[0.0] * (N - 1)], "expected finite"),
        (ROBOT.joint_names, [math.inf, *[0.0] * (N - 1)], "expected finite"),
        ((), (), r"got joints \[\]"),
    ],
)
def test_unusable_joint_states_are_refused_with_a_reason(names, positions, complaint):
    with pytest.raises(InputError, match=complaint):
        convert.joint_sample(JointState(name=list(names), position=list(positions)), ROBOT, 0)


def motors_msg(names=ROBOT.joint_names, **changes):
    n = len(names)
    fields = {"load": [0.1] * n, "temperature": [math.nan] * n, "voltage": [7.4] * n, "torque_on": [True] * n}
    return MotorStates(joint_names=list(names), **{**fields, **changes})


@given(st.permutations(range(N)), st.lists(st.floats(), min_size=N, max_size=N))
def test_motor_states_are_found_by_name_and_may_hold_anything(order, load):
    names = [ROBOT.joint_names[i] for i in order]
    torque_on = [i % 2 == 0 for i in order]
    sample = convert.motor_sample(
        through_the_wire(motors_msg(names, load=[load[i] for i in order], torque_on=torque_on)), ROBOT, 3
    )
    np.testing.assert_array_equal(sample.load, load)
    np.testing.assert_array_equal(sample.torque_on, [i % 2 == 0 for i in range(N)])
    again = convert.motor_sample(convert.motor_states_msg(ROBOT, sample), ROBOT, 3)
    for name in ("load", "temperature_c", "voltage_v", "torque_on"):
        np.testing.assert_array_equal(getattr(again, name), getattr(sample, name))


@pytest.mark.parametrize(
    ("msg", "complaint"),
    [
        (motors_msg(ROBOT.joint_names[1:]), "expected .'shoulder_pan'. too"),
        (motors_msg(voltage=[7.4]), "6 names and 1 values of voltage"),
        (motors_msg((*ROBOT.joint_names, "gripper")), "'gripper' twice"),
        (MotorStates(), r"got joints \[\]"),
    ],
)
def test_unusable_motor_states_are_refused_with_a_reason(msg, complaint):
    with pytest.raises(InputError, match=complaint):
        convert.motor_sample(msg, ROBOT, 0)


@pytest.mark.parametrize("limp", [False, True])
def test_commands_to_the_motors_come_back(limp):
    sent = MotorCommand(ROBOT.home, limp)
    msg = through_the_wire(convert.motor_command_msg(ROBOT, 5, sent, "somebody"))
    got = convert.motor_command(msg, ROBOT)
    np.testing.assert_array_equal(got.q, sent.q)
    assert got.limp is limp
    assert msg.header.frame_id == "somebody"


@pytest.mark.parametrize("effort", [[0.0], [0.0] * (N - 1) + [0.1], [math.nan] * N])
def test_an_effort_that_is_not_none_of_all_is_refused(effort):
    msg = convert.joint_state(ROBOT, 5, ROBOT.home)
    msg.effort = effort
    with pytest.raises(InputError, match="joint_command effort"):
        convert.motor_command(msg, ROBOT)


scores = st.floats(width=32)


@given(
    st.lists(st.floats(), max_size=8), st.none() | st.lists(st.floats(), min_size=1, max_size=8), stamps, scores, scores
)
def test_proposals_arrive_as_they_were_sent_whatever_they_hold(q, dq, ns, disagreement, novelty):
    sent = Proposal(
        source="pid",
        sequence=2**40,
        stamp_ns=ns,
        observation_stamp_ns=ns // 2,
        received_ns=5,
        joint_names=("a", "", "a"),
        q=np.array(q),
        dq=None if dq is None else np.array(dq),
        disagreement=disagreement,
        novelty=novelty,
    )
    got = convert.proposal(through_the_wire(convert.joint_command(sent)), 5)
    np.testing.assert_array_equal(got.q, sent.q)
    assert (got.dq is None) == (dq is None)
    if dq is not None:
        np.testing.assert_array_equal(got.dq, sent.dq)
    for name in ("source", "sequence", "stamp_ns", "observation_stamp_ns", "received_ns", "joint_names"):
        assert getattr(got, name) == getattr(sent, name)
    np.testing.assert_array_equal((got.disagreement, got.novelty), (disagreement, novelty))


def test_contexts_come_back():
    keys_values = np.random.default_rng(0).standard_normal((2, 2, 1, 4, 8), dtype=np.float32)
    sent = Context(
        bundle_id="b",
        sequence=3,
        stamp_ns=10,
        instruction="touch the red cube",
        keys_values=keys_values,
        image_stamps_ns=(10, 11),
        inference_ms=1.5,
        novelty=0.25,
    )
    got = convert.context(through_the_wire(convert.context_msg(sent)))
    np.testing.assert_array_equal(got.keys_values, keys_values)
    assert not got.keys_values.flags.writeable
    for name in ("bundle_id", "sequence", "stamp_ns", "instruction", "image_stamps_ns", "inference_ms", "novelty"):
        assert getattr(got, name) == getattr(sent, name)


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "float16"},
        {"shape": [2, 2, 1, 4, 9]},
        {"shape": [256]},
        {"data": []},
        {"novelty": math.nan},
        {"novelty": math.inf},
        {"novelty": -0.5},
    ],
)
def test_contexts_that_contradict_themselves_are_refused(change):
    msg = convert.context_msg(
        Context(bundle_id="", sequence=0, stamp_ns=1, instruction="", keys_values=np.zeros((2, 2, 1, 4, 8), np.float32))
    )
    for name, value in change.items():
        setattr(msg, name, value)
    with pytest.raises(InputError, match="context: got"):
        convert.context(msg)


def test_chunks_come_back_and_their_columns_are_found_by_name():
    positions = np.arange(4 * N, dtype=float).reshape(4, N)
    sent = Chunk(
        sequence=1, observation_stamp_ns=5, context_stamp_ns=4, start_ns=5, dt_ns=33_333_333, positions=positions
    )
    msg = through_the_wire(convert.chunk_msg(sent, ROBOT, 9))
    got = convert.chunk(msg, ROBOT)
    np.testing.assert_array_equal(got.positions, positions)
    assert (got.sequence, got.start_ns, got.dt_ns, got.end_ns) == (1, 5, 33_333_333, sent.end_ns)
    msg.joint_names = list(reversed(msg.joint_names))
    np.testing.assert_array_equal(convert.chunk(msg, ROBOT).positions, positions[:, ::-1])
    msg.horizon = 5
    with pytest.raises(InputError, match="chunk: got"):
        convert.chunk(msg, ROBOT)


def test_pictures_come_back():
    camera = ROBOT.cameras[0]
    rgb = np.random.default_rng(0).integers(0, 256, (camera.height, camera.width, 3), dtype=np.uint8)
    msg = through_the_wire(convert.image_msg(CameraImage(camera=camera.name, stamp_ns=8, rgb=rgb), camera.frame_id))
    assert (msg.encoding, msg.step, msg.header.frame_id) == ("rgb8", 3 * camera.width, camera.frame_id)
    got = convert.camera_image(msg, camera)
    np.testing.assert_array_equal(got.rgb, rgb)
    assert got.stamp_ns == 8
    msg.encoding = "bgr8"
    np.testing.assert_array_equal(convert.camera_image(msg, camera).rgb, rgb[:, :, ::-1])


def test_pictures_with_padded_rows_are_read():
    camera = ROBOT.cameras[0]
    padded = np.zeros((camera.height, 3 * camera.width + 4), np.uint8)
    padded[:, : 3 * camera.width] = 9
    msg = Image(height=camera.height, width=camera.width, encoding="rgb8", step=padded.shape[1], data=padded.tobytes())
    assert (convert.camera_image(msg, camera).rgb == 9).all()


@pytest.mark.parametrize(
    "change", [{"encoding": "mono8"}, {"width": 80}, {"height": 0}, {"step": 1}, {"data": b""}, {"encoding": ""}]
)
def test_pictures_of_another_kind_are_refused_with_a_reason(change):
    camera = ROBOT.cameras[0]
    blank = np.zeros((camera.height, camera.width, 3), np.uint8)
    msg = convert.image_msg(CameraImage(camera=camera.name, stamp_ns=1, rgb=blank), "")
    for name, value in change.items():
        setattr(msg, name, value)
    with pytest.raises(InputError, match=r"'overhead': got .*, expected"):
        convert.camera_image(msg, camera)


def test_calibration_has_the_camera_s_field_of_view():
    camera = ROBOT.cameras[0]
    info = convert.camera_info_msg(camera)
    assert 2 * math.degrees(math.atan(camera.height / 2 / info.k[4])) == pytest.approx(camera.fovy_deg)
    assert (info.k[0], info.k[2], info.k[5]) == (info.k[4], (camera.width - 1) / 2, (camera.height - 1) / 2)


def test_scenes_come_back_and_nonsense_is_refused():
    scene = random_scene(5)
    assert convert.scene(convert.scene_json(scene)) == scene
    with pytest.raises(InputError, match="expected JSON"):
        convert.scene("{")
    with pytest.raises(ConfigError, match="missing key"):
        convert.scene("{}")
