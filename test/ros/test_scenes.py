"""Other scenes for a running simulator: the service, what it does to the judge, and the orders of a demo."""

from dataclasses import replace

import numpy as np
import pytest
from ros_world import Graph, wait_until
from so_arm_policy.srv import SetScene
from std_msgs.msg import String

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.demo_monitor import DemoMonitor
from so_arm_policy.ros.demo_orders import FreshScenes, OneScene, orders, uses_up
from so_arm_policy.ros.sim_picture import SimPicture
from so_arm_policy.ros.simulator_node import SimulatorNode
from so_arm_policy.sim.tasks import TASKS, make_task

PICK, TRACK = make_task("pick_place"), make_task("track")


def values_of(msg) -> dict[str, str]:
    return {item.key: item.value for item in msg.values}


@pytest.fixture
def simulator(graph: Graph) -> SimulatorNode:
    return graph.run(SimulatorNode())


@pytest.fixture
def set_scene(graph: Graph, simulator: SimulatorNode):
    client = graph.tester.create_client(SetScene, topics.SET_SCENE.name)
    graph.spinner.start()
    wait_until(client.service_is_ready)

    def call(scene: str, task: str = "") -> SetScene.Response:
        answer = client.call_async(SetScene.Request(task=task, scene=scene))
        wait_until(answer.done)
        return answer.result()

    return call


def test_a_new_scene_is_drawn_and_judged_and_what_was_told_before_is_forgotten(graph, simulator, set_scene, robot):
    states, tasks = graph.hear(topics.SIM_STATE), graph.hear(topics.SIM_TASK)
    instruct = graph.say(topics.INSTRUCTION)
    first = make_task("reach").sample(0)
    instruct(String(data=first.instruction))
    wait_until(lambda: tasks and tasks[-1].message == "under way")
    episode = PICK.sample(5)
    answer = set_scene(convert.scene_json(episode.scene), "pick_place")
    assert (answer.success, answer.message) == (True, "")
    wait_until(lambda: states[-1].seed == 5)
    assert convert.scene(states[-1].scene) == episode.scene
    wait_until(lambda: tasks[-1].message == "nothing to judge")
    instruct(String(data=episode.instruction))
    wait_until(lambda: tasks[-1].message == "under way" and float(values_of(tasks[-1])["time_s"]) > 0.2)
    values = values_of(tasks[-1])
    assert (values["task"], values["seed"], values["instruction"]) == ("pick_place", "5", episode.instruction)
    assert "done_s" not in values
    picture = SimPicture(robot, "overhead")
    before = next(state for state in states if state.seed == 0)
    assert np.abs(picture.draw(before).astype(float) - picture.draw(states[-1])).mean() > 2.0
    picture.close()


def test_an_object_that_moves_by_itself_moves_in_the_node(graph, simulator, set_scene):
    states = graph.hear(topics.SIM_STATE)
    scene = TRACK.sample(5).scene
    assert scene.motion is not None
    assert set_scene(convert.scene_json(scene), "track").success
    wait_until(lambda: states and states[-1].seed == 5)
    count = len(states)
    wait_until(lambda: len(states) > count + 30)
    # Of each object the place comes first, after the arm's joints.
    places = np.array([np.array(s.qpos)[6:].reshape(3, 7)[:, :2] for s in states[count:]])
    way = np.linalg.norm(places[-1] - places[0], axis=1)
    assert way.argmax() == scene.motion.object
    assert way.max() > 0.01
    assert np.delete(way, scene.motion.object).max() < 0.002


def test_what_cannot_be_is_refused_with_a_reason_and_changes_nothing(graph, simulator, set_scene):
    states = graph.hear(topics.SIM_STATE)
    scene = PICK.sample(5).scene
    behind = replace(scene, bowl_x=0.0, bowl_y=0.0)
    for text, task, complaint in (
        ("{", "", "expected JSON"),
        ("{}", "", "sim/state scene"),
        (convert.scene_json(scene), "juggle", "expected one of"),
        (convert.scene_json(scene), "handover", "expected one like 'so101_bimanual'"),
        (convert.scene_json(behind), "pick_place", "an arm where the bowl should be"),
    ):
        answer = set_scene(text, task)
        assert not answer.success
        assert complaint in answer.message
    count = len(states)
    wait_until(lambda: len(states) > count + 2)
    assert states[-1].seed == 0
    assert simulator.counts["scenes"] == 0


@pytest.fixture
def monitor(graph: Graph, simulator: SimulatorNode, robot: RobotConfig) -> DemoMonitor:
    made = DemoMonitor(robot)
    graph.spinner.add(made)
    graph.spinner.start()
    wait_until(lambda: made.scene is not None)
    yield made
    graph.spinner.stop()
    made.destroy_node()


def test_a_demo_lays_the_table_anew_for_tasks_that_use_it_up(graph, monitor, simulator):
    given = orders(PICK, 7, monitor)
    assert isinstance(given, FreshScenes)
    clock = iter(np.arange(0.0, 1e4, 0.3))
    for seed in (7, 8):
        got = []

        def asked(got=got):
            order = given.next(float(next(clock)))
            got.extend([order] if order else [])
            return got

        wait_until(asked)
        wait_until(lambda seed=seed: monitor.scene.seed == seed)
        assert got[0].seed == seed
        assert got[0].instruction == PICK.sample(seed).instruction
        monitor.tell(got[0])
        wait_until(lambda seed=seed: monitor.reading is not None and monitor.reading.seed == seed)
        assert monitor.reading.instruction == got[0].instruction
        assert monitor.reading.done_s is None
    assert simulator.counts["scenes"] == 2


def test_a_demo_of_reach_stays_in_one_scene(monitor):
    given = orders(make_task("reach"), 3, monitor)
    assert isinstance(given, OneScene)
    told = [given.next(0.0) for _ in range(6)]
    assert {order.seed for order in told} == {0}
    assert len({order.instruction for order in told}) == 3


@pytest.mark.parametrize("name", sorted(TASKS))
def test_only_reach_leaves_its_scene_as_it_was(name: str):
    assert uses_up(make_task(name).sample(0)) is (name != "reach")
