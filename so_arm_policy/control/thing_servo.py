"""The sources `pid` and `servo`: the fingertip goes to the thing that the instruction names, and stays with it."""

import math
from dataclasses import dataclass, field, replace

import mujoco
import numpy as np

from so_arm_policy.control.approach import ApproachConfig, aim
from so_arm_policy.control.fingertip_servo import FingertipServo, FingertipServoConfig
from so_arm_policy.control.grammar import Said, parse
from so_arm_policy.control.ik import ArmIk
from so_arm_policy.control.kalman import KalmanConfig
from so_arm_policy.control.source import BLIND_NS, FUTURE_NS
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.control.whereabouts import Estimator, Followed, Standing
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import JointSample

VERBS = ("reach", "track")
REACHED_M = 0.01  # how near the fingertip has to be able to come
SAME_M = 0.03  # what is seen of its colour so near to where it should be is the thing, whatever kind it is taken for
LOOKED_AT_M = 0.01  # a thing that moved less is as near as it was


@dataclass(frozen=True, kw_only=True)
class ThingServoConfig:
    """How the fingertip goes to a thing."""

    servo: FingertipServoConfig = field(default_factory=FingertipServoConfig)
    approach: ApproachConfig = field(default_factory=ApproachConfig)
    kalman: KalmanConfig = field(default_factory=KalmanConfig)


class ThingServo:
    """A TaskSource for orders about one thing: to reach it, or to stay with it while it moves.

    It proposes nothing until it was told something and saw the thing within reach; from then on it always has a
    command: in `trouble` the arm comes to rest where it is. A thing that pictures do not show, because the hand hides
    it, is where it was; without pictures, for longer than BLIND_NS, it is nowhere.
    """

    def __init__(
        self, name: str, model: mujoco.MjModel, robot: RobotConfig, config: ThingServoConfig, see: Estimator
    ) -> None:
        """model: of the arm alone; it is the robot's first arm that moves."""
        self.name = name
        self._config = config
        arm = robot.arms[0]
        turn = math.cos(arm.base_yaw), math.sin(arm.base_yaw)
        self._R_base_world = np.array([[turn[0], turn[1], 0.0], [-turn[1], turn[0], 0.0], [0.0, 0.0, 1.0]])
        self._base = np.array(arm.base_xyz)
        self._ik = ArmIk(model, robot, arm.prefix)
        self._servo = FingertipServo(model, robot, config.servo, arm.prefix)
        self._estimator = see
        self._said: Said | None = None
        self._picture_ns: int | None = None
        self._blind = False
        self._looked_at: FloatArray | None = None
        self._out_of_sight: str | None = None
        self._out_of_reach: str | None = None
        self.reset()

    @property
    def trouble(self) -> str | None:
        """Why the arm does not go to the thing now, or None."""
        if self._blind:
            return f"sight: got no newer picture, expected one within {BLIND_NS / NS:g} s"
        return self._out_of_sight or self._out_of_reach

    def reset(self) -> None:
        """Forget the instruction, the thing and the pose."""
        self._servo.reset()
        self._going = False
        self._forget(None)

    def tell(self, instruction: str) -> None:
        """Set what to do. Raises InputError for what cannot be read, and for orders that are not about one thing."""
        order = parse(instruction)
        if order.verb not in VERBS or len(order.steps) != 1:
            got = f"to {order.verb} {len(order.steps)} things in {instruction!r}"
            raise InputError(f"{self.name}: got an order {got}, expected to {' or '.join(VERBS)} one thing")
        self._forget(order.steps[0])

    @property
    def wanted(self) -> frozenset[str]:
        """Colour of the thing; empty without an instruction."""
        return frozenset({self._said.color} if self._said else ())

    def see(self, table: Tabletop, stamp_ns: int) -> None:
        """Take note of where the thing was. A thing that is not there is `trouble`.

        Raises ShapeError for places that are none, InputError for stamps that are out of order; nothing changes then.
        """
        if self._said is None:
            return
        self._picture_ns = stamp_ns
        try:
            thing = table.things[self._which(table, stamp_ns)]
        except InputError as error:
            self._out_of_sight = str(error)
            return
        top = self._R_base_world @ (thing.position + np.array([0.0, 0.0, thing.half_height]) - self._base)
        self._estimator.see(top, stamp_ns)
        self._out_of_sight = None
        if self._looked_at is None or float(np.linalg.norm(top - self._looked_at)) > LOOKED_AT_M:
            self._looked_at = top
            self._out_of_reach = self._reach(top)

    def command(self, now_ns: int, sample: JointSample) -> tuple[FloatArray, FloatArray] | None:
        """Return position (n,) rad and velocity (n,) rad/s, or None with nothing to go to. Raises ShapeError."""
        believed = self._estimator.at(now_ns)
        self._blind = self._picture_ns is not None and not -FUTURE_NS <= now_ns - self._picture_ns <= BLIND_NS
        lost = believed is None or self._blind or self._out_of_reach is not None
        if lost and not self._going:
            return None
        self._going = True
        if lost:
            return self._servo.command(now_ns, sample, None)
        assert believed is not None
        top, velocity = believed.position, believed.velocity
        return self._servo.command(now_ns, sample, lambda tip: aim(tip, top, velocity, self._config.approach))

    def _which(self, table: Tabletop, stamp_ns: int) -> int:
        """Return the number of the thing: near where it should be, else the one it can only be. Raises InputError."""
        assert self._said is not None
        believed = self._estimator.at(stamp_ns)
        if believed is not None:
            at = self._R_base_world.T @ believed.position + self._base
            near = table.nearest(self._said.color, self._said.kind, at, SAME_M)
            if near is not None:
                return near
        return table.find(self._said.color, self._said.kind)

    def _forget(self, said: Said | None) -> None:
        self._said = said
        self._picture_ns, self._blind = None, False
        self._estimator.reset()
        self._looked_at = None
        self._out_of_sight = "nothing seen yet" if said else "no instruction"
        self._out_of_reach = None

    def _reach(self, top: FloatArray) -> str | None:
        """Say why the arm cannot touch a thing whose top is at (3,) m, base frame; None if it can."""
        point = top + np.array([0.0, 0.0, self._config.approach.touch_m])
        try:
            self._ik.solve(point, self._ik.home, tolerance_m=REACHED_M)
        except InputError as error:
            return str(error)
        return None


def pid_source(model: mujoco.MjModel, robot: RobotConfig, config: ThingServoConfig | None = None) -> ThingServo:
    """Return the source that goes where the thing was seen: for things that stand still."""
    return ThingServo("pid", model, robot, config or ThingServoConfig(), Standing())


def servo_source(model: mujoco.MjModel, robot: RobotConfig, config: ThingServoConfig | None = None) -> ThingServo:
    """Return the source that goes where the thing should be by now, with its velocity: for things that move."""
    config = config or ThingServoConfig(approach=replace(ApproachConfig(), hover_m=0.025))
    return ThingServo("servo", model, robot, config, Followed(config.kalman))
