"""The simulator and the camera that draws its state, as nodes."""

import pytest
from ros_world import GARBAGE, ROBOT, command, now_ns, repeat, wait_until
from so_arm_policy.msg import SimState
from std_msgs.msg import String

from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.camera_node import CameraNode
from so_arm_policy.ros.simulator_node import SimulatorNode


@pytest.mark.parametrize("graph", [("-p", "seed:=3")], indirect=True)
def test_the_simulator_judges_the_task_and_refuses_garbage(graph):
    node = graph.run(SimulatorNode())
    states, tasks = graph.hear(topics.JOINT_STATES), graph.hear(topics.SIM_TASK)
    scenes = graph.hear(topics.SIM_STATE)
    say, instruct = graph.say(topics.JOINT_COMMAND), graph.say(topics.INSTRUCTION)
    say(GARBAGE["nan"])
    wait_until(lambda: node.counts["errors: joint_command"] == 1)
    instruct(String(data="sing"))
    wait_until(lambda: node.counts["errors: instruction"] == 1)
    wait_until(lambda: tasks and tasks[-1].message == "nothing to judge")
    scene = convert.scene(scenes[-1].scene)
    instruct(String(data=f"touch the {scene.objects[0].color} cube"))
    wait_until(lambda: tasks[-1].message == "under way")
    values = {v.key: v.value for v in tasks[-1].values}
    assert values["success"] == "False"
    assert float(values["distance_m"]) > 0.02
    q = ROBOT.home.copy()
    q[0] += 0.2
    say(command(q))
    wait_until(lambda: abs(states[-1].position[0] - q[0]) < 0.02)
    wait_until(lambda: node.facts()["holding"])
    seen = len(states)
    wait_until(lambda: len(states) > seen + 12)
    assert abs(states[-1].position[0] - q[0]) < 0.02


@pytest.mark.parametrize("graph", [("-p", "camera:=wrist")], indirect=True)
def test_the_drawn_camera_gives_stamped_pictures_and_survives_a_state_that_is_none(graph):
    from so_arm_policy.sim.simulator import Simulator
    from so_arm_policy.sim.tasks import make_task

    node = graph.run(CameraNode())
    images, infos = graph.hear(topics.image("wrist")), graph.hear(topics.camera_info("wrist"))
    say = graph.say(topics.SIM_STATE)
    say(SimState(scene="{", seed=0))
    wait_until(lambda: node.counts["errors: sim/state"] >= 1)
    scene = make_task("reach").sample(3).scene
    simulator = Simulator(ROBOT, scene)
    repeat(
        say,
        lambda: convert.sim_state_msg(convert.scene_json(scene), 3, simulator.qpos, now_ns()),
        lambda: len(images) > 1 and len(infos) > 1,
    )
    picture_ = convert.camera_image(images[-1], ROBOT.camera("wrist"))
    assert picture_.rgb.std() > 5.0
    assert infos[-1].header.stamp in [i.header.stamp for i in images]
    assert infos[-1].header.frame_id == "wrist_optical_frame"
