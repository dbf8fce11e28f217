"""A source that stays while the one it stands for has nothing to do."""

import numpy as np

from so_arm_policy.control.staying import Staying
from so_arm_policy.control.tabletop import Tabletop, Thing
from so_arm_policy.control.thing_servo import servo_source
from so_arm_policy.core.objects import HALF_SIZES
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.core.values import JointSample
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.arm_model import arm_spec

TICK_NS = NS // CONTROL_HZ
RED = Thing(color="red", kind="cube", position=np.array([0.22, 0.05, HALF_SIZES["cube"][2]]), R_world_thing=np.eye(3))
TABLE = Tabletop(things=(RED,), places={})


def sample(robot: RobotConfig, now_ns: int, sag: float = 0.0) -> JointSample:
    q = robot.home + sag
    return JointSample(stamp_ns=now_ns, received_ns=now_ns, q=q, dq=np.zeros_like(q))


def test_it_keeps_one_pose_until_there_is_something_to_do_and_then_does_it() -> None:
    robot = load_robot("so101")
    model = arm_spec().compile()
    source, alone = Staying("servo", servo_source(model, robot)), servo_source(model, robot)
    for each in (source, alone):
        each.tell("touch the red cube")
    for tick in range(1, 4):
        now_ns = tick * TICK_NS
        assert alone.command(now_ns, sample(robot, now_ns)) is None
        q, dq = source.command(now_ns, sample(robot, now_ns, sag=-0.01 * (tick > 1)))
        np.testing.assert_array_equal(q, robot.home)
        np.testing.assert_array_equal(dq, np.zeros_like(q))
    assert source.wanted == alone.wanted == frozenset({"red"})
    for each in (source, alone):
        each.see(TABLE, 3 * TICK_NS)
    for tick in range(4, 30):
        now_ns = tick * TICK_NS
        wanted, same = source.command(now_ns, sample(robot, now_ns)), alone.command(now_ns, sample(robot, now_ns))
        assert same is not None
        np.testing.assert_array_equal(wanted, same)
    assert np.abs(wanted[0] - robot.home).max() > 0.01
    source.reset()
    q, _ = source.command(31 * TICK_NS, sample(robot, 31 * TICK_NS, sag=0.2))
    np.testing.assert_array_equal(q, robot.home + 0.2)
