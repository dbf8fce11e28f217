"""Finding a thing: look, and if the arm is in the way of the camera, move it aside and look again."""

from collections.abc import Generator

import numpy as np

from so_arm_policy.control.grammar import Said
from so_arm_policy.control.planner.actions import Action, Leg, Look, Means, Motion
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError

ASIDE_RAD = 1.1  # of the first joint, away from where things stand


def find(means: Means, said: Said, place: str | None = None) -> Generator[Action, Tabletop | FloatArray, Tabletop]:
    """Return a table on which `said`, and `place`, are seen. Raises InputError where they are seen from nowhere."""
    seen = Tabletop(things=(), places={})
    for aside in (0.0, ASIDE_RAD, -ASIDE_RAD) if len(means.hands) == 1 else (0.0, ASIDE_RAD):
        if aside:
            pose = np.array(means.robot.home)
            for hand in means.hands:  # of two, each to its own side
                pose[hand.ik.joints[0]] = aside if hand.base[1] <= 0.0 else -aside
            yield Motion(legs=(Leg(stage="aside", goal=pose, free=True),), table=seen)
        table = yield Look()
        assert isinstance(table, Tabletop)
        seen = table
        try:
            table.find(said.color, said.kind)
            if place is not None:
                table.place(place)
        except InputError as error:
            unseen = error
        else:
            return table
    raise unseen
