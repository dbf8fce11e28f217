"""The expert's way of carrying one object to a place: approach, close, lift, carry, release, leave."""

import numpy as np

from so_arm_policy.control.carrying import carrying
from so_arm_policy.control.grasp import find_grasp
from so_arm_policy.control.ik import ArmIk
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.sim.goal import Step
from so_arm_policy.sim.law import Plan
from so_arm_policy.sim.places import let_go, lies_in
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.truth import tabletop_of

APPROACH, CLOSE, LIFT, CARRY, RELEASE, LEAVE = range(6)
MOVED_M = 0.008
LOST_M = 0.02


def way_to_place(ik: ArmIk, simulator: Simulator, step: Step, arm: int = 0) -> Plan:
    """Return the way of arm number `arm` to put an object to its place. Raises InputError when out of reach."""
    assert step.place is not None
    base = np.array(simulator.robot.arms[arm].base_xyz)
    table = tabletop_of(simulator)
    p = carrying(ik, table, step.object, step.place, find_grasp(table, step.object, base), base)
    return Plan.of(
        [
            (p.hover, p.down, 0.012),
            (p.grip, p.grip, 0.02),
            (p.grip, p.lift, 0.12),
            (p.above, p.lowered, 0.03),
            (p.released, p.released, 0.05),
            (p.away, ik.home, 0.0),
        ]
    )


def astray(simulator: Simulator, step: Step, stage: int, seen: FloatArray, arm: int = 0) -> bool:
    """Whether a way made when the objects stood at `seen` (k, 3) m is of no use any more."""
    assert step.place is not None
    if stage == APPROACH:
        return float(np.linalg.norm(simulator.object_position(step.object) - seen[step.object])) > MOVED_M
    if stage in (LIFT, CARRY):
        return simulator.surface_distance(step.object, simulator.fingertip(arm)) > LOST_M
    return False


def missed(simulator: Simulator, step: Step) -> bool:
    """Whether the object of `step` is not in its place, or still between fingers there."""
    assert step.place is not None
    return not (lies_in(simulator, step.object, step.place) and let_go(simulator, step.object))
