"""robot_description, /tf and /tf_static of the running node."""

import time

import numpy as np
from geometry_msgs.msg import TransformStamped
from ros_world import ROBOT, joints, wait_until
from tf2_msgs.msg import TFMessage

from so_arm_policy.robot.description import load_robot
from so_arm_policy.ros import topics
from so_arm_policy.ros.description_node import TF, TF_STATIC, DescriptionNode, transforms
from so_arm_policy.ros.stack import stack
from so_arm_policy.ros.stack_options import StackOptions
from so_arm_policy.sim.robot_tree import forward, robot_tree
from so_arm_policy.sim.urdf import mesh_folder, urdf

MOVING = {frame.name for frame in robot_tree(ROBOT) if frame.joint is not None}


def composed(messages):
    """Where every frame is in the world, T (4, 4), from transforms as tf2 composes them."""
    parents = {t.child_frame_id: t for msg in messages for t in msg.transforms}
    found = {"world": np.eye(4)}

    def of(name):
        if name not in found:
            t = parents[name]
            found[name] = of(t.header.frame_id) @ matrix(t)
        return found[name]

    for name in parents:
        of(name)
    return found


def matrix(stamped: TransformStamped):
    r, p = stamped.transform.rotation, stamped.transform.translation
    x, y, z, w = r.x, r.y, r.z, r.w
    T = np.eye(4)
    T[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    T[:3, 3] = p.x, p.y, p.z
    return T


def test_who_comes_late_still_hears_the_description_and_the_transforms_follow_the_joints(graph):
    graph.run(DescriptionNode())
    say = graph.say(topics.JOINT_STATES)
    time.sleep(0.2)
    descriptions, fixed, moving = graph.hear(topics.ROBOT_DESCRIPTION), graph.hear(TF_STATIC), graph.hear(TF)
    q = np.random.default_rng(3).uniform(ROBOT.lower, ROBOT.upper)
    sent = joints(q)

    def heard():
        say(sent)
        return descriptions and fixed and moving

    wait_until(heard)
    assert descriptions[0].data == urdf(ROBOT, mesh_folder())
    assert {t.child_frame_id for t in moving[0].transforms} == MOVING
    assert all(t.header.stamp == sent.header.stamp for t in moving[0].transforms)
    found = composed([fixed[0], moving[0]])
    assert set(found) == set(forward(robot_tree(ROBOT), ROBOT, q))
    for name, pose in forward(robot_tree(ROBOT), ROBOT, q).items():
        np.testing.assert_allclose(found[name][:3, 3], pose.position, atol=1e-9)
        np.testing.assert_allclose(found[name][:3, :3], pose.rotation, atol=1e-9)
    # The same stamp again says nothing new; a later one does.
    before = len(moving)
    for _ in range(20):
        say(sent)
        time.sleep(0.005)
    later = joints(q)
    wait_until(lambda: say(later) or moving[-1].transforms[0].header.stamp == later.header.stamp)
    assert len(moving) == before + 1


def test_transforms_of_two_arms_have_frames_of_their_own():
    robot = load_robot("so101_bimanual")
    msg: TFMessage = transforms(robot_tree(robot), dict.fromkeys(robot.joint_names, 0.0), 5)
    names = [t.child_frame_id for t in msg.transforms]
    assert len(set(names)) == len(names)
    assert {"left_base_link", "right_base_link", "overhead_optical_frame", "left_wrist_optical_frame"} <= set(names)


def test_the_stack_has_the_node_where_it_is_asked_for_and_in_a_namespace_tf_of_its_own():
    options = {"control_source": "hold", "cameras": "none"}
    assert "description" not in [s.name for s in stack(StackOptions(**options))]
    plain, spaced = (stack(StackOptions(**options, tf=True, namespace=n))[-1] for n in ("", "cell1"))
    assert (plain.executable, plain.remappings) == ("description", {})
    assert spaced.remappings == {"/tf": "tf", "/tf_static": "tf_static"}
