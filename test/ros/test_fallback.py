"""Who stands behind the source by the rules: started with the stack, and there when the source is gone."""

from ros_world import wait_until
from so_arm_policy.msg import SafetyStatus

from so_arm_policy.ros import topics
from so_arm_policy.ros.stack import stack
from so_arm_policy.ros.stack_options import StackOptions
from so_arm_policy.ros.up import Stack

START_S = 180.0  # for processes on a busy machine


def test_the_planner_takes_over_from_a_source_that_is_killed_and_nobody_takes_it_back(graph):
    specs = stack(StackOptions(robot="mock", cameras="none", control_source="hold", safety="hybrid.yaml"))
    statuses, proposals = graph.hear(topics.SAFETY_STATUS), graph.hear(topics.proposal("planner"))
    graph.spinner.start()

    def acts(state, source):
        return statuses and (statuses[-1].state, statuses[-1].source) == (state, source)

    with Stack(specs, lambda node, line: None) as nodes:

        def until(what):
            wait_until(lambda: (nodes.poll() or nodes.restarts) and what(), START_S)

        until(lambda: len(proposals) > 20 and acts(SafetyStatus.ACTIVE, "hold"))
        nodes.kill("hold")
        until(lambda: acts(SafetyStatus.FALLBACK, "planner"))
        until(lambda: nodes.restarts["hold"] == 1 and "hold" in nodes.pids)
        heard = len(statuses)
        until(lambda: len(statuses) > heard + 20)
        assert {status.source for status in statuses[heard:]} == {"planner"}  # a busy machine may hold it for a while
