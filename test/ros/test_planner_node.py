"""The planner as a node: by itself, and doing its task in the simulator through cameras and the supervisor."""

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticStatus
from ros_world import ROBOT, N, diagnostics_of, joints, now_ns, repeat, wait_until
from so_arm_policy.msg import SafetyStatus
from std_msgs.msg import String

from so_arm_policy.control.planner.follow import TOUCH_M
from so_arm_policy.core.objects import CUBE_SIZE_M
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import CameraImage
from so_arm_policy.robot.description import load_yaml
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.planner_node import PlannerNode
from so_arm_policy.ros.stack import stack
from so_arm_policy.ros.stack_options import StackOptions
from so_arm_policy.ros.up import Stack
from so_arm_policy.sim.expert import arm_iks
from so_arm_policy.sim.places import place_center
from so_arm_policy.sim.renderer import SceneRenderer
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks import make_task

NONSENSE = "juggle the red cube"
SEED = 1000
IN_PLACE_M = 0.045
UNTOUCHED_M = 0.005


@pytest.fixture
def node(graph):
    return graph.run(PlannerNode())


def test_an_instruction_that_is_not_understood_is_reported_once_and_changes_nothing(graph, node):
    logged = []
    node.get_logger().error = logged.append
    heard = graph.hear(topics.proposal("planner"))
    say, instruct = graph.say(topics.JOINT_STATES), graph.say(topics.INSTRUCTION)
    wait_until(lambda: "overhead/image_raw" in node.facts()["waiting_for"])
    instruct(String(data=NONSENSE))
    repeat(say, joints, lambda: node.counts["errors: instruction"] == 1 and len(heard) > 50)
    assert len(logged) == 1
    assert "juggle" in logged[0]
    status = diagnostics_of(node)
    assert status.level == DiagnosticStatus.WARN
    assert "not understood" in status.message
    assert node.facts()["instruction"] == ""
    assert node.source.wanted == frozenset()
    np.testing.assert_array_equal([m.position for m in heard], [ROBOT.home] * len(heard))
    # Nor does it change what is being done already.
    instruct(String(data="touch the red cube"))
    repeat(say, joints, lambda: node.source.stage == "look")
    instruct(String(data="hand it over"))
    repeat(say, joints, lambda: node.counts["errors: instruction"] == 2)
    assert (node.facts()["instruction"], node.source.stage) == ("touch the red cube", "look")


@pytest.mark.parametrize(
    ("state", "source", "stage"),
    [
        (SafetyStatus.HOLD, "planner", "held"),
        (SafetyStatus.ESTOP, "planner", "held"),
        (SafetyStatus.ACTIVE, "hold", "held"),
        (SafetyStatus.ACTIVE, "pid", "idle"),
    ],
)
def test_who_is_not_followed_stays_and_goes_on_with_the_same_instruction_once_followed(
    graph, node, state, source, stage
):
    heard = graph.hear(topics.proposal("planner"))
    say, instruct = graph.say(topics.JOINT_STATES), graph.say(topics.INSTRUCTION)
    status = graph.say(topics.SAFETY_STATUS)
    instruct(String(data="touch the red cube"))
    repeat(say, joints, lambda: node.source.stage == "look")
    status(SafetyStatus(state=state, source=source))
    moved = ROBOT.home + 0.2
    repeat(say, lambda: joints(moved), lambda: np.allclose(heard[-1].position[:-1], moved[:-1], atol=1e-9))
    assert (node.source.stage, node.source.wanted) == (stage, None if stage == "held" else frozenset())
    status(SafetyStatus(state=SafetyStatus.ACTIVE, source="planner"))
    repeat(say, lambda: joints(moved), lambda: node.source.stage == "look")
    np.testing.assert_allclose(heard[-1].position[:-1], moved[:-1], atol=1e-9)
    # What comes meanwhile is not lost.
    status(SafetyStatus(state=state, source=source))
    repeat(say, lambda: joints(moved), lambda: node.source.stage == stage)
    instruct(String(data="touch the blue cube"))
    repeat(say, lambda: joints(moved), lambda: node.facts()["instruction"] == "touch the blue cube")
    assert node.source.stage == "idle"
    status(SafetyStatus(state=SafetyStatus.ACTIVE, source="planner"))
    repeat(say, lambda: joints(moved), lambda: node.source.stage == "look")
    assert node.facts()["instruction"] == "touch the blue cube"


def test_a_silence_of_the_joints_is_a_hold(graph, node):
    heard = graph.hear(topics.proposal("planner"))
    say, instruct = graph.say(topics.JOINT_STATES), graph.say(topics.INSTRUCTION)
    instruct(String(data="touch the red cube"))
    repeat(say, joints, lambda: node.source.stage == "look")
    wait_until(lambda: node.source.stage == "held")
    assert node.counts["errors: joint_states"] > 0
    count = len(heard)
    moved = ROBOT.home + 0.1
    repeat(say, lambda: joints(moved), lambda: node.source.stage == "look" and len(heard) > count)
    np.testing.assert_allclose(heard[-1].position[:-1], moved[:-1], atol=1e-9)


@pytest.fixture
def shown():
    """A scene, and what returns the message of its picture with a stamp."""
    scene = make_task("reach").sample(3).scene
    renderer = SceneRenderer(ROBOT)
    rgb = renderer.render(scene, Simulator(ROBOT, scene).qpos, "overhead")
    renderer.close()

    def picture(stamp_ns):
        return convert.image_msg(CameraImage(camera="overhead", stamp_ns=stamp_ns, rgb=rgb), "overhead")

    return scene, picture


def test_without_newer_pictures_it_says_so_stays_and_goes_on_once_they_come(graph, node, shown):
    scene, picture = shown
    heard = graph.hear(topics.proposal("planner"))
    say, show = graph.say(topics.JOINT_STATES), graph.say(topics.image("overhead"))
    graph.say(topics.INSTRUCTION)(String(data=f"touch the {scene.objects[0].words}"))
    repeat(say, joints, lambda: "got no newer picture for 2 s" in node.facts()["trouble"])
    assert node.facts()["trouble"].endswith("expected one within 1 s; last pictures: overhead none, wrist none")
    show(picture(now_ns() - 60 * NS))
    repeat(say, joints, lambda: "last pictures: overhead 6" in node.facts()["trouble"])
    status = diagnostics_of(node)
    assert status.level == DiagnosticStatus.WARN
    assert "got no newer picture" in status.message
    np.testing.assert_array_equal([m.position for m in heard], [ROBOT.home] * len(heard))

    def see():
        show(picture(now_ns()))
        return joints()

    repeat(say, see, lambda: node.source.stage == "approach")
    assert node.facts()["trouble"] == ""


def test_a_picture_from_the_future_is_refused_and_counted(graph, node, shown):
    scene, picture = shown
    say, show = graph.say(topics.JOINT_STATES), graph.say(topics.image("overhead"))
    graph.say(topics.INSTRUCTION)(String(data=f"touch the {scene.objects[0].words}"))
    repeat(say, joints, lambda: node.source.stage == "look")
    for number in (1, 2):
        show(picture(now_ns() + 10 * NS))
        wait_until(lambda number=number: node.counts["errors: overhead/image_raw"] == number)
    message = diagnostics_of(node).message
    assert "camera 'overhead': got a picture stamped" in message
    assert "ms ahead of now, expected at most 20" in message
    repeat(say, joints, lambda: node.source.blind)
    assert (node.counts["looks"], node.source.stage) == (0, "look")


def test_a_command_that_follows_a_picture_says_how_old_that_is(graph, node, shown):
    scene, picture = shown
    heard, stamps = graph.hear(topics.proposal("planner")), set()
    say, show = graph.say(topics.JOINT_STATES), graph.say(topics.image("overhead"))

    def see():
        stamp_ns = now_ns()
        stamps.add(stamp_ns)
        show(picture(stamp_ns))
        return joints()

    graph.say(topics.INSTRUCTION)(String(data=f"touch the {scene.objects[0].words}"))
    repeat(say, see, lambda: node.source.stage == "approach")
    repeat(say, see, lambda: node.source.stage == "stay" and convert.stamp_ns(heard[-1].observation_stamp) in stamps)
    assert convert.stamp_ns(heard[0].observation_stamp) not in stamps, "before it saw anything: that of the joints"
    assert node.counts["looks"] <= len(stamps)
    (ik,) = arm_iks(ROBOT)
    thing = scene.objects[0]
    over_it = ik.solve(np.array([thing.x, thing.y, CUBE_SIZE_M + TOUCH_M]), ROBOT.home)
    np.testing.assert_allclose(heard[-1].position, over_it, atol=0.05)


def test_what_only_the_camera_in_the_hand_shows_is_seen_and_without_that_camera_it_goes_on(graph, node):
    scene = make_task("reach").sample(3).scene
    thing = scene.objects[0]
    (ik,) = arm_iks(ROBOT)
    q = ik.solve(np.array([thing.x, thing.y, CUBE_SIZE_M + 0.03]), ROBOT.home)
    simulator, renderer = Simulator(ROBOT, scene), SceneRenderer(ROBOT)
    simulator.reset(scene, q)
    bare = np.full((120, 160, 3), (158, 153, 143), dtype=np.uint8)
    pictures = {"overhead": bare, "wrist": renderer.render(scene, simulator.qpos, "wrist")}
    renderer.close()
    say = graph.say(topics.JOINT_STATES)
    show = {name: graph.say(topics.image(name)) for name in pictures}

    def see(*names):
        stamp_ns = now_ns()
        for name in names:
            show[name](convert.image_msg(CameraImage(camera=name, stamp_ns=stamp_ns, rgb=pictures[name]), name))
        return joints(q)

    graph.say(topics.INSTRUCTION)(String(data=f"touch the {thing.words}"))
    repeat(say, lambda: see("overhead"), lambda: "wrist" not in node._pictures and node.counts["looks"] > 1)
    assert node.counts["pictures"] == node.counts["looks"]
    assert node.source.stage != "stay"
    repeat(say, lambda: see("overhead", "wrist"), lambda: node.source.stage == "stay")
    assert node.counts["pictures"] > node.counts["looks"]
    looks = node.counts["looks"]
    repeat(say, lambda: see("overhead"), lambda: node.counts["looks"] > looks + 3)


def test_a_late_picture_of_one_camera_is_no_look_into_the_past(graph, node, shown):
    """The hand's picture is a little older than the one from above, and comes after it: its look is left out."""
    scene, picture = shown
    grey = np.full((120, 160, 3), 128, dtype=np.uint8)
    say = graph.say(topics.JOINT_STATES)
    overhead, wrist = (graph.say(topics.image(name)) for name in ("overhead", "wrist"))
    graph.say(topics.INSTRUCTION)(String(data=f"touch the {scene.objects[0].words}"))

    for _ in range(10):
        stamp_ns, looks = now_ns(), node.counts["looks"]
        overhead(picture(stamp_ns))
        repeat(say, joints, lambda looks=looks: node.counts["looks"] > looks)
        late = CameraImage(camera="wrist", stamp_ns=stamp_ns - 30_000_000, rgb=grey)
        wrist(convert.image_msg(late, "wrist"))
        ticks = node.loop.ticks
        repeat(say, joints, lambda ticks=ticks: node.loop.ticks > ticks + 20 and "wrist" in node._pictures)
        assert node.counts["looks"] == looks + 1


def test_a_thing_in_a_keep_out_volume_is_not_gone_to(make_graph, shown, tmp_path):
    scene, picture = shown
    thing = scene.objects[0]
    rules = load_yaml(find_shipped("config", "safety.yaml"))
    rules["keep_outs"]["spheres"] = [{"name": "glass", "center_xyz_m": [thing.x, thing.y, 0.0], "radius_m": 0.06}]
    path = tmp_path / "safety.yaml"
    path.write_text(yaml.safe_dump(rules))
    graph = make_graph("-p", f"safety:={path}")
    node = graph.run(PlannerNode())
    heard = graph.hear(topics.proposal("planner"))
    say, show = graph.say(topics.JOINT_STATES), graph.say(topics.image("overhead"))

    def see():
        show(picture(now_ns()))
        return joints()

    graph.say(topics.INSTRUCTION)(String(data=f"touch the {thing.words}"))
    repeat(say, see, lambda: node.source.stage == "trouble")
    assert "descend: got a goal in a keep-out volume or too near to it: " in node.facts()["trouble"]
    assert "and glass" in node.facts()["trouble"]
    np.testing.assert_array_equal([m.position for m in heard], [ROBOT.home] * len(heard))


class Live:
    """The whole stack in simulation as processes, with the planner as the source."""

    def __init__(self, graph):
        self.episode = make_task("pick_place").sample(SEED)
        self.states, self.tasks = graph.hear(topics.SIM_STATE), graph.hear(topics.SIM_TASK)
        self.statuses, self.diagnostics = graph.hear(topics.SAFETY_STATUS), graph.hear(topics.DIAGNOSTICS)
        self.graph = graph
        self.lines = []

    def log(self, name, line):
        self.lines.append((name, line))

    def ask(self, service):
        client = self.graph.tester.create_client(service.type, service.name)
        wait_until(client.service_is_ready)
        answer = client.call_async(service.type.Request())
        wait_until(answer.done)
        return answer.result()

    def state(self):
        return self.statuses[-1].state if self.statuses else None

    def arm(self):
        return np.array(self.states[-1].qpos)[:N]

    def things(self):
        """Places of all things, (3, 3) m."""
        return np.array(self.states[-1].qpos)[N:].reshape(-1, 7)[:, :3]

    def planner_says(self, text):
        return any(s.name == "planner" and text in s.message for m in list(self.diagnostics) for s in m.status)

    def done(self):
        return bool(self.tasks) and self.tasks[-1].message == "done"


def test_it_does_pick_and_place_in_the_simulator_also_after_a_safety_stop(graph):
    live = Live(graph)
    specs = stack(StackOptions(control_source="planner", task="pick_place", seed=SEED))
    with Stack(specs, live.log) as nodes:
        instruct = graph.say(topics.INSTRUCTION)
        wait_until(lambda: nodes.poll() and live.states and live.state() == SafetyStatus.ACTIVE)
        wait_until(lambda: live.planner_says("ok"))
        placed, home = live.things(), live.arm()

        instruct(String(data=NONSENSE))
        wait_until(lambda: live.planner_says("not understood"))
        np.testing.assert_allclose(live.arm(), home, atol=2e-3)

        instruct(String(data=live.episode.instruction))
        wait_until(lambda: np.abs(live.arm() - home).max() > 0.2)
        assert live.ask(topics.ESTOP).success
        wait_until(lambda: live.state() == SafetyStatus.ESTOP)
        wait_until(lambda: live.ask(topics.RESET).success)
        assert not live.done()

        wait_until(live.done)
        assert nodes.restarts == dict.fromkeys(nodes.pids, 0)
    (step,) = live.episode.goal.steps
    goal = place_center(live.episode.scene, step.place)
    assert np.linalg.norm(live.things()[step.object, :2] - goal[:2]) < IN_PLACE_M
    others = np.delete(np.arange(len(placed)), step.object)
    np.testing.assert_allclose(live.things()[others], placed[others], atol=UNTOUCHED_M)
    assert "planner" in {status.source for status in live.statuses}
