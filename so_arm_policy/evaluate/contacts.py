"""What the arms touch that they should not, read from the contacts of the physics."""

from dataclasses import dataclass
from enum import Enum

import mujoco
import numpy as np

from so_arm_policy.sim.simulator import Simulator


class Touch(Enum):
    """What an arm pressed against."""

    TABLE = "table"
    SELF = "itself"
    OTHER_ARM = "the other arm"


# Normal force from which a contact counts, N. A jaw that grasps grazes the table it grasps from, and the jaws of the
# other arm when it hands something over; all else of the arm has nothing to touch. The arm weighs about 6 N, and
# presses with about 10 N when its servos stall.
JAW_N = 5.0
ANYTHING_ELSE_N = 1.0
JAW_JOINT = "gripper"
TABLES = ("table", "floor")


@dataclass(frozen=True)
class Contact:
    """The hardest contact of one kind. bodies: by MuJoCo's names; force_n: normal force, N."""

    touch: Touch
    bodies: tuple[str, str]
    force_n: float


class ContactWatch:
    """Looks at the contacts after each step and keeps the hardest of each kind.

    Jaws may touch objects, bowl and plate; so may the rest of the arm, which then only pushes them.
    """

    def __init__(self, simulator: Simulator) -> None:
        """Look up what belongs to which arm; a body belongs to the arm whose base it hangs from."""
        self._simulator = simulator
        model, self._arm_of = simulator.model, dict[int, str]()
        bases = {model.body(f"{arm.prefix}base").id: arm.prefix or "arm" for arm in simulator.robot.arms}
        jaws = [n for n in simulator.robot.joint_names if n.endswith(JAW_JOINT)]
        moving = {int(model.joint(n).bodyid[0]) for n in jaws}
        self._jaws = moving | {int(model.body_parentid[body]) for body in moving}
        for body in range(model.nbody):
            above = body
            while above and above not in bases:
                above = int(model.body_parentid[above])
            if above in bases:
                self._arm_of[body] = bases[above]
        self._tables = {model.geom(name).id for name in TABLES}
        self.worst: dict[Touch, Contact] = {}

    def look(self) -> None:
        """Take in the contacts of the present moment."""
        model, data = self._simulator.model, self._simulator.data
        force = np.zeros(6)
        for i in range(data.ncon):
            geoms = (int(data.contact[i].geom1), int(data.contact[i].geom2))
            touch, least_n = self._judge(geoms)
            if touch is None:
                continue
            mujoco.mj_contactForce(model, data, i, force)
            pressed_n = float(force[0])
            known = self.worst.get(touch)
            if pressed_n >= least_n and (known is None or pressed_n > known.force_n):
                first, second = (str(model.body(model.geom_bodyid[g]).name) for g in geoms)
                self.worst[touch] = Contact(touch, (first, second), pressed_n)

    def _judge(self, geoms: tuple[int, int]) -> tuple[Touch | None, float]:
        """Return what kind of contact this is, None for one that is allowed, and from which force on it counts."""
        bodies = [int(self._simulator.model.geom_bodyid[g]) for g in geoms]
        arms = [self._arm_of.get(body) for body in bodies]
        if arms[0] is not None and arms[1] is not None:
            if arms[0] == arms[1]:
                return Touch.SELF, ANYTHING_ELSE_N
            return Touch.OTHER_ARM, JAW_N if set(bodies) <= self._jaws else ANYTHING_ELSE_N
        for mine, other in ((0, 1), (1, 0)):
            if arms[mine] is not None and geoms[other] in self._tables:
                return Touch.TABLE, JAW_N if bodies[mine] in self._jaws else ANYTHING_ELSE_N
        return None, 0.0
