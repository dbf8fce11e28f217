"""The planner told something else while it moves: it comes to rest first, without a jump."""

import numpy as np
import pytest

from so_arm_policy.control.motion.config import PlannerConfig
from so_arm_policy.control.planner.actions import Means
from so_arm_policy.control.planner.desk import LockstepDesk
from so_arm_policy.control.planner.source import Planner
from so_arm_policy.control.tabletop import Tabletop, Thing
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.core.values import JointSample
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.expert import arm_iks
from so_arm_policy.sim.planning_scene import PlanningScene

ROBOT = load_robot("so101")
STILL = np.zeros(len(ROBOT.joints))
MOST = PlannerConfig().acceleration_scale * ROBOT.acceleration
TABLE = Tabletop(
    things=tuple(
        Thing(color=color, kind="cube", position=np.array([0.2, y, 0.0125]), R_world_thing=np.eye(3))
        for color, y in (("red", -0.1), ("blue", 0.1))
    ),
    places={},
)


class Ideal:
    """An arm that is where the planner wants it."""

    def __init__(self):
        (self.ik,) = arm_iks(ROBOT)
        means = Means(robot=ROBOT, iks=(self.ik,), surroundings=PlanningScene(ROBOT))
        self.planner = Planner(means, PlannerConfig(), LockstepDesk(NS // 10))
        self.q, self.tick = ROBOT.home, 0
        self.speeds = []

    def go(self, until):
        while not until():
            assert self.tick < 3000, f"{self.planner.stage}: {self.planner.trouble}"
            self.tick += 1
            now_ns = self.tick * NS // CONTROL_HZ
            self.planner.see(TABLE, now_ns)
            sample = JointSample(stamp_ns=now_ns, received_ns=now_ns, q=self.q, dq=STILL)
            self.q, dq = self.planner.command(now_ns, sample)
            self.speeds.append(dq)


@pytest.fixture
def arm():
    return Ideal()


def test_it_brakes_and_goes_to_the_other_thing(arm):
    arm.planner.tell("touch the red cube")
    arm.go(lambda: arm.speeds and np.abs(arm.speeds[-1]).max() > 0.5)
    arm.planner.tell("touch the blue cube")
    told = len(arm.speeds)
    arm.go(lambda: arm.planner.stage == "stay")
    assert (np.abs(np.diff(arm.speeds, axis=0)) * CONTROL_HZ <= MOST + 1e-6).all()
    assert any(not speed.any() for speed in arm.speeds[told:])
    red, blue = (arm.ik.solve(thing.position, ROBOT.home) for thing in TABLE.things)
    assert abs(arm.q[0] - blue[0]) < 0.05 < abs(arm.q[0] - red[0])


def test_what_it_does_not_understand_changes_nothing(arm):
    arm.planner.tell("touch the red cube")
    arm.go(lambda: arm.speeds and np.abs(arm.speeds[-1]).max() > 0.5)
    stage, told = arm.planner.stage, len(arm.speeds)
    with pytest.raises(InputError, match="juggle"):
        arm.planner.tell("juggle the red cube")
    assert arm.planner.stage == stage
    arm.go(lambda: arm.planner.stage == "stay")
    assert (np.abs(arm.speeds[told : told + 10]).max(axis=1) > 0.3).all(), "it goes on as it did"
    assert abs(arm.q[0] - arm.ik.solve(TABLE.things[0].position, ROBOT.home)[0]) < 0.05
