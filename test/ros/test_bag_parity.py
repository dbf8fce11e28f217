"""A run recorded live and evaluated from its bag gives the same contexts, chunks and verdicts, frame for frame."""

import argparse
import time
from collections import Counter

import numpy as np
import pytest
from ros_world import ROBOT, Graph, now_ns, wait_until
from std_msgs.msg import String
from tiny_bundle import REACH_CORPUS, write_tiny_bundle

from so_arm_policy.core.mapping import from_mapping
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.values import CameraImage
from so_arm_policy.evaluate import evaluate_bag_command
from so_arm_policy.evaluate.bags.evaluation import evaluate_bag
from so_arm_policy.evaluate.bags.reader import Bag
from so_arm_policy.evaluate.bags.report import lines, plot
from so_arm_policy.evaluate.bags.roles import Roles
from so_arm_policy.evaluate.bags.writer import BagWriter
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.robot.description import load_yaml
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.mock_robot_node import MockRobotNode
from so_arm_policy.ros.recorder_node import RecorderNode
from so_arm_policy.ros.safety_supervisor_node import SafetySupervisorNode
from so_arm_policy.ros.system1_node import System1Node
from so_arm_policy.ros.system2_node import System2Node
from so_arm_policy.safety.config import SupervisorConfig


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A bundle and a bag of a whole stack in this process, from before its first tick on."""
    folder = tmp_path_factory.mktemp("live")
    bundle, bag = folder / "tiny", folder / "bag"
    write_tiny_bundle(bundle, ROBOT, REACH_CORPUS)
    given = [f"{node}:bundle:={bundle}" for node in ("system1", "system2")]
    # A busy machine is late with everything: that is no fault here.
    patient = ["system1:max_context_age_s:=20.0", "system2:max_image_age_s:=10.0"]
    values = [f"recorder:bag:={bag}", "system1:seed:=7", *given, *patient]
    arguments = [part for value in values for part in ("-p", value)]
    graph = Graph(*arguments)
    try:
        recorder = graph.run(RecorderNode())
        chunks, statuses = graph.hear(topics.CHUNK), graph.hear(topics.SAFETY_STATUS)
        for make in (System2Node, System1Node, SafetySupervisorNode, MockRobotNode):
            graph.run(make())
        cameras = [graph.say(topics.image(c.name)) for c in ROBOT.cameras]
        graph.say(topics.INSTRUCTION)(String(data="touch the red cube"))
        wanted = {t.name for t in (topics.SYSTEM1_TICK, topics.CONTEXT, topics.CHUNK, topics.SAFETY_TICK)}
        wait_until(lambda: {f"/{name}" for name in wanted} <= {topic for topic, _ in recorder._watch.heard})
        random = np.random.default_rng(0)

        def moved():
            for say, camera in zip(cameras, ROBOT.cameras, strict=True):
                rgb = random.integers(0, 256, (camera.height, camera.width, 3), dtype=np.uint8)
                say(convert.image_msg(CameraImage(camera=camera.name, stamp_ns=now_ns(), rgb=rgb), "eye"))
            time.sleep(0.03)
            # A busy machine brings some of this to the recorder, a quiet one all.
            return len(chunks) > 20 and statuses and sum(statuses[-1].counts) + statuses[-1].passed > 300

        wait_until(moved, patience_s=240.0)
    finally:
        graph.close()
    return load_bundle(bundle, ROBOT), bag


def safety():
    path = find_shipped("config", "safety.yaml")
    return from_mapping(SupervisorConfig, load_yaml(path), str(path))


def evaluated(live, mode="auto", rules=None):
    bundle, path = live
    bag = Bag(path)
    return evaluate_bag(bag, bundle, ROBOT, Roles(bag, ROBOT, {}), rules or safety(), mode)


def ticks_of(live):
    return sum(record.topic == "/safety/tick" for record in Bag(live[1]).records())


def test_contexts_chunks_and_verdicts_come_out_bit_for_bit_as_they_were(live):
    result = evaluated(live)
    assert result.mode == "again"
    for name, least in (("contexts", 1), ("chunks", 1), ("verdicts", 20)):
        parity = result.parity[name]
        assert parity.compared >= least, (name, parity)
        assert parity.same == parity.compared, (name, parity)
    verdicts = result.parity["verdicts"]
    assert verdicts.compared + verdicts.missing.total() == ticks_of(live)
    assert sum(result.actions.values()) == result.parity["verdicts"].compared
    assert not result.skipped
    assert not result.damage


def test_predictions_are_compared_with_the_recorded_commands(live):
    errors = evaluated(live).errors
    assert errors.counts[:4].sum() > 0
    assert np.nanmax(errors.mean[:4]) < 1.0


def test_a_bag_that_was_changed_comes_out_otherwise(live):
    bundle, path = live
    changed = SupervisorConfig(**{**vars(safety()), "proposal_timeout_s": 0.001})
    parity = evaluated(live, rules=changed).parity["verdicts"]
    assert parity.same < parity.compared
    assert "recorded" in parity.first


def test_the_same_bag_runs_at_its_recorded_times_without_its_decisions(live, tmp_path):
    result = evaluated(live, mode="timed")
    assert result.parity == {}
    assert len(result.latency_ms["system1"]) > 0
    assert result.errors.counts.any()
    plot(result, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000
    assert any("verdicts" in line for line in lines(result))


def test_the_command_prints_and_writes_what_came_of_it(live, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    evaluate_bag_command.configure(parser)
    arguments = [str(live[1]), "--bundle", str(live[0].path), "--json", str(tmp_path / "x.json")]
    assert evaluate_bag_command.run(parser.parse_args(arguments)) == 0
    assert "verdicts:" in capsys.readouterr().out
    assert '"mode": "again"' in (tmp_path / "x.json").read_text()


def damaged(path, folder, lost):
    """A copy of a bag without the messages that `lost` (number on its topic, topic) names, and how many those are."""
    writer, numbers, counts, left_out = BagWriter(folder), {}, Counter(), Counter()
    whole = Bag(path)
    writer.custom.update(whole.custom)
    for record in whole.records():
        if record.topic not in numbers:
            numbers[record.topic] = writer.add_topic(record.topic, record.kind)
        if lost(counts[record.topic], record.topic):
            left_out[record.topic] += 1
        else:
            assert writer.write(numbers[record.topic], record.time_ns, record.data)
        counts[record.topic] += 1
    writer.close()
    return left_out, counts


def test_what_a_bag_lost_is_counted_and_no_difference_is_told(live, tmp_path):
    bundle, path = live

    def lost(number, topic):
        return (topic == "/safety/tick" and number % 40 == 39) or (topic == "/joint_states" and number % 90 == 89)

    left_out, counts = damaged(path, tmp_path / "bag", lost)
    parity = evaluated((bundle, tmp_path / "bag")).parity["verdicts"]
    whole = evaluated(live).parity["verdicts"]
    assert parity.same == parity.compared, parity
    assert 0 < parity.compared < whole.compared
    assert any("not comparable" in line for line in lines(evaluated((bundle, tmp_path / "bag"))))
    assert whole.lost <= parity.lost <= whole.lost + left_out["/safety/tick"]
    assert parity.compared + parity.missing.total() == counts["/safety/tick"] - left_out["/safety/tick"]
