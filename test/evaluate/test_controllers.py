"""Who is who in comparisons."""

from so_arm_policy.evaluate.controllers import CONTROLLERS, identify, tasks_of
from so_arm_policy.sim.tasks import TASKS, make_task


def test_a_family_has_another_bundle_for_a_robot_with_two_arms():
    assert identify("flow", make_task("handover")).bundle.startswith("handover-flow-")
    assert identify("flow", make_task("pick_place")).bundle.startswith("so101-flow-")
    does = tasks_of("flow")
    assert does is not None
    assert {"pick_place", "handover"} <= set(does)


def test_the_planner_does_every_task():
    assert set(CONTROLLERS["planner"].tasks or ()) == set(TASKS)
