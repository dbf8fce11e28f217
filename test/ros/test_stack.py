"""The stack as data."""

import os
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.ros.node_spec import NodeSpec, yaml_value
from so_arm_policy.ros.stack import stack
from so_arm_policy.ros.stack_options import StackOptions, resolved


@pytest.fixture
def options(bundle):
    def make(**changes):
        return StackOptions(**{"bundle": str(bundle), **changes})

    return make


def names(specs):
    return [spec.name for spec in specs]


def test_the_policy_s_stack_has_the_boxes_of_the_data_flow(options):
    specs = stack(options())
    assert names(specs) == [
        "simulator",
        "overhead_camera",
        "wrist_camera",
        "system2",
        "system1",
        "safety_supervisor",
    ]
    by_name = {spec.name: spec for spec in specs}
    assert by_name["wrist_camera"].executable == "camera"
    assert by_name["wrist_camera"].parameters["camera"] == "wrist"
    assert by_name["safety_supervisor"].parameters["source"] == "system1"
    assert by_name["system1"].parameters["bundle"] == by_name["system2"].parameters["bundle"]


@pytest.mark.parametrize("source", ["planner", "servo", "cartesian_pid", "pid", "hold"])
def test_a_hand_crafted_source_needs_no_policy(source):
    specs = stack(StackOptions(control_source=source, cameras="none", bundle="there is none"))
    assert names(specs) == ["simulator", source, "safety_supervisor"]


def test_the_planner_plans_by_the_rules_of_the_supervisor(tmp_path):
    rules = tmp_path / "my_safety.yaml"
    rules.write_text("velocity_scale: 0.5")
    specs = stack(StackOptions(control_source="planner", cameras="none", safety=str(rules)))
    given = {spec.name: spec.parameters.get("safety") for spec in specs}
    assert given == {"simulator": None, "planner": str(rules), "safety_supervisor": str(rules)}


def test_who_stands_behind_the_source_by_the_rules_is_started_too(options, tmp_path):
    specs = {spec.name: spec.parameters for spec in stack(options(safety="hybrid.yaml", cameras="none"))}
    assert list(specs) == ["simulator", "system2", "system1", "planner", "safety_supervisor"]
    assert specs["safety_supervisor"]["source"] == "system1"
    assert specs["planner"]["safety"] == "hybrid.yaml"
    same = stack(options(safety="hybrid.yaml", cameras="none", control_source="planner"))
    assert names(same) == ["simulator", "planner", "safety_supervisor"]
    behind = tmp_path / "policy_behind.yaml"
    for fallback, started in (("system1", ["system2", "system1"]), ("replay", [])):
        behind.write_text(f"fallback: {fallback}")
        specs = stack(options(safety=str(behind), cameras="none", control_source="hold"))
        assert names(specs) == ["simulator", "hold", *started, "safety_supervisor"]


def test_rules_that_cannot_be_read_are_refused_before_anything_starts(options, tmp_path):
    with pytest.raises(ConfigError, match="nobody"):
        stack(options(safety=str(tmp_path / "nobody.yaml")))
    (tmp_path / "bad.yaml").write_text("fallback: nobody")
    with pytest.raises(ConfigError, match="got fallback 'nobody', expected one of"):
        stack(options(safety=str(tmp_path / "bad.yaml")))


def test_policy_and_robot_follow_from_the_task():
    options = resolved(StackOptions())
    assert (Path(options.bundle).name, options.description) == ("reach_flow", "so101")
    assert {spec.parameters["robot"] for spec in stack(StackOptions())} == {"so101"}
    assert resolved(StackOptions(task="handover", control_source="hold")).description == "so101_bimanual"


def test_no_policy_for_a_task_is_one_error_that_lists_what_there_is():
    with pytest.raises(ConfigError, match="none of family 'flow' for task 'juggle', there is .*reach_flow: flow for"):
        stack(StackOptions(task="juggle"))


def test_the_mock_robot_takes_the_simulator_s_place(options):
    assert names(stack(options(robot="mock", cameras="none")))[0] == "mock_robot"


def test_a_real_arm_has_the_driver_and_its_leaders_in_the_simulator_s_place(options):
    given = {"port": "/dev/ttyACM0", "calibration": "arm.json", "cameras": "none"}
    leader = {"leader_port": "/dev/ttyACM1", "leader_calibration": "leader.json"}
    assert names(stack(options(robot="feetech", **given)))[:2] == ["feetech", "system2"]
    specs = stack(options(robot="feetech", **given, **leader))
    assert names(specs)[:2] == ["feetech", "leader"]
    assert (specs[0].parameters["port"], specs[0].parameters["calibration"]) == ("/dev/ttyACM0", "arm.json")
    assert specs[1].parameters["calibration"] == "leader.json"


def test_simulated_servos_stand_between_the_driver_and_the_physics():
    specs = stack(StackOptions(robot="feetech-sim", description="so101_bimanual", control_source="hold"))
    bus, driver = specs[:2]
    assert (bus.name, driver.name) == ("servo_bus", "feetech")
    assert bus.parameters["port"] == driver.parameters["port"]
    assert len(bus.parameters["port"].split(",")) == 2
    assert bus.remappings["joint_command"] == "servo_bus/joint_command"
    assert driver.remappings == {}
    assert "overhead_camera" in names(specs)


def test_two_arms_have_three_cameras():
    specs = stack(StackOptions(description="so101_bimanual", control_source="hold"))
    assert names(specs)[1:4] == ["overhead_camera", "left_wrist_camera", "right_wrist_camera"]


def test_opencv_cameras_are_given_one_by_one(options):
    specs = stack(options(robot="mock", cameras="overhead=opencv:/dev/video0, wrist=opencv:clip.mp4"))
    given = {spec.name: spec.parameters for spec in specs if spec.executable == "camera"}
    assert given["overhead_camera"]["device"] == "/dev/video0"
    assert given["wrist_camera"]["device"] == "clip.mp4"
    assert given["wrist_camera"]["source"] == "opencv"


def test_options_reach_every_node(options, tmp_path):
    extra = tmp_path / "extra.yaml"
    extra.write_text("{}")
    changes = {"namespace": "cell1", "use_sim_time": True, "log_level": "warn", "params_file": str(extra)}
    for spec in stack(options(**changes)):
        arguments = spec.ros_arguments()
        assert "__ns:=/cell1" in arguments
        assert arguments[-4:] == ["--params-file", str(extra), "--log-level", "warn"]
        assert spec.parameters["use_sim_time"] is (spec.name != "simulator")
        assert spec.parameters.get("publish_clock", False) is (spec.name == "simulator")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"robot": "tank"},
            r"robot: got 'tank', expected one of \['sim', 'mock', 'feetech', 'feetech-sim', 'ros2_control', 'isaac'\]",
        ),
        ({"robot": "feetech"}, "got 'feetech' with port '', calibration '', expected both"),
        ({"leader_port": "/dev/ttyACM1"}, "expected both or none"),
        ({"control_source": "autopilot"}, "control_source: got 'autopilot'"),
        ({"log_level": "loud"}, "log_level"),
        ({"robot": "mock", "use_sim_time": True, "cameras": "none"}, "use_sim_time"),
        ({"robot": "mock"}, "cameras: got 'sim' with robot 'mock'"),
        ({"cameras": "overhead"}, "cameras: got 'overhead'"),
        ({"cameras": "overhead=opencv:"}, "cameras: got 'overhead=opencv:'"),
        ({"cameras": "tail=opencv:/dev/video0"}, "expected one of"),
        ({"cameras": "wrist=sim,wrist=sim"}, "'wrist' twice"),
        ({"description": "so102"}, "so102"),
        ({"bundle": "no such bundle"}, "bundles: got 'no such bundle'"),
        ({"params_file": "no/such/file"}, "params_file"),
        ({"provider": "npu"}, r"provider: got 'npu', expected one of \['cpu', 'cuda', 'tensorrt'\]"),
        ({"only": "system3"}, r"only: got \['system3'\], expected some of \['simulator', .*'system2', 'system1', "),
        ({"without": "system2,planner"}, r"without: got \['planner'\], expected some of"),
        ({"only": "system2", "without": "system1"}, "expected one of the two"),
        ({"only": ","}, r"only: got \['', ''\]"),
    ],
)
def test_what_no_stack_can_be_made_of_is_refused_with_a_reason(options, changes, complaint):
    with pytest.raises(ConfigError, match=complaint):
        stack(options(**changes))


@pytest.mark.parametrize("value", ["", "1", "true", "it's", "a: b", "/tmp/x y", 3, 0.5, 1e-9, True, False])
def test_parameter_values_are_read_back_as_what_they_were(value):
    read = yaml.safe_load(yaml_value(value))
    assert (read, type(read)) == (value, type(value))


def test_every_option_says_what_it_is_for():
    assert all(option.metadata["help"] for option in fields(StackOptions))


def test_remappings_are_passed_on():
    spec = NodeSpec(name="a", executable="hold", parameters={}, remappings={"joint_states": "other/joint_states"})
    assert "joint_states:=other/joint_states" in spec.ros_arguments()


def test_the_stack_is_shared_out_between_machines_without_losing_or_doubling_a_node(options):
    same = {"provider": "cuda", "engine_cache": "/var/cache/engines", "decisions": "/var/lib/decisions"}
    whole = stack(options(**same))
    here = stack(options(**same, without="system2, wrist_camera"))
    there = stack(options(**same, only="wrist_camera,system2"))
    assert names(there) == ["wrist_camera", "system2"]
    assert sorted(names(here) + names(there)) == sorted(names(whole))
    assert {spec.name: spec for spec in [*here, *there]} == {spec.name: spec for spec in whole}


def test_a_stack_without_any_node_is_refused(options):
    everything = ",".join(names(stack(options())))
    with pytest.raises(ConfigError, match="expected it to leave a node"):
        stack(options(without=everything))


def test_the_provider_reaches_both_systems_and_nobody_else(options):
    specs = stack(options(provider="tensorrt", engine_cache="/var/cache/engines"))
    given = {
        s.name: (s.parameters["provider"], s.parameters["engine_cache"]) for s in specs if "provider" in s.parameters
    }
    assert given == dict.fromkeys(("system2", "system1"), ("tensorrt", "/var/cache/engines"))


def test_only_the_supervisor_begins_stopped_and_only_when_asked(options):
    asked = {
        s.name: s.parameters["start_stopped"]
        for s in stack(options(start_stopped=True))
        if "start_stopped" in s.parameters
    }
    assert asked == {"safety_supervisor": True}
    assert stack(options())[-1].parameters["start_stopped"] is False


def test_each_run_keeps_its_decisions_in_a_file_of_its_own_unless_one_is_named(options):
    first, second = (stack(options())[-1].parameters["decisions"] for _ in range(2))
    assert first != second
    assert not os.path.exists(first)
    assert stack(options(decisions="/var/lib/decisions"))[-1].parameters["decisions"] == "/var/lib/decisions"
