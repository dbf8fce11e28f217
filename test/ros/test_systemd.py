"""The unit that ships: systemd knows its keys, our command line its commands, our nodes its parameters."""

import shlex
from pathlib import Path

import pytest
import rclpy
import yaml

from so_arm_policy import cli
from so_arm_policy.ros import safety_command, up_command
from so_arm_policy.ros.feetech_node import FeetechConfig
from so_arm_policy.ros.params import declare
from so_arm_policy.ros.safety_supervisor_node import SafetySupervisorConfig
from so_arm_policy.ros.stack import stack
from so_arm_policy.ros.system1_node import System1Config

FOLDER = Path(__file__).parents[2] / "config" / "systemd"
PARAMS = FOLDER / "params.yaml"
# systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5), systemd.resource-control(5)
KNOWN = {
    "Unit": {"Description", "Documentation"},
    "Service": {
        "Type",
        "User",
        "SupplementaryGroups",
        "WorkingDirectory",
        "StateDirectory",
        "CacheDirectory",
        "Environment",
        "ExecStart",
        "ExecStop",
        "Restart",
        "KillMode",
        "TimeoutStopSec",
        "LimitRTPRIO",
        "LimitMEMLOCK",
        "NoNewPrivileges",
        "ProtectSystem",
        "ProtectHome",
    },
    "Install": {"WantedBy"},
}
CONFIGS = {"feetech": FeetechConfig, "safety_supervisor": SafetySupervisorConfig, "system1": System1Config}


def read_unit():
    """Sections, each a list of (key, value): configparser would lose a key that is there twice."""
    sections, name = {}, ""
    for line in (FOLDER / "so-arm.service").read_text().splitlines():
        if line.startswith("["):
            name = line.strip("[]")
            sections[name] = []
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, line
            sections[name].append((key, value))
    return sections


def command(key):
    """The arguments behind `so-arm` of the one command `key`."""
    (value,) = [value for name, value in read_unit()["Service"] if name == key]
    program, *arguments = shlex.split(value.removeprefix("-"))
    assert program == "/opt/so_arm_policy/.venv/bin/so-arm"
    return arguments


def parsed(arguments, module):
    return cli._build_parser(arguments[0], module).parse_args(arguments)


def test_every_key_is_one_that_systemd_knows_there_and_is_there_once():
    for section, pairs in read_unit().items():
        keys = [key for key, _ in pairs]
        assert set(keys) <= KNOWN[section]
        assert len(keys) == len(set(keys))


def test_exec_start_is_a_stack_of_the_driver_that_begins_stopped():
    args = parsed(command("ExecStart"), up_command)
    assert args.params_file == f"/etc/so_arm_policy/{PARAMS.name}"
    args.params_file = str(PARAMS)
    specs = {spec.name: spec for spec in stack(up_command.options_from(args))}
    assert set(CONFIGS) <= set(specs)
    assert specs["safety_supervisor"].parameters["start_stopped"] is True
    assert args.duration == 0


def test_exec_stop_brakes():
    assert parsed(command("ExecStop"), safety_command).action == "estop"


def test_nothing_starts_the_arm_again_by_itself():
    assert dict(read_unit()["Service"])["Restart"] == "no"


@pytest.mark.parametrize("name", CONFIGS)
def test_the_parameters_are_those_of_the_nodes_and_within_the_limits_of_the_unit(name):
    rclpy.init(args=["--ros-args", "--params-file", str(PARAMS)])
    node = rclpy.create_node(name)
    try:
        given = declare(node, CONFIGS[name]).realtime
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    assert 0 < given.fifo_priority <= int(dict(read_unit()["Service"])["LimitRTPRIO"])
    assert given.lock_memory


def test_every_node_of_the_parameter_file_is_tested_above():
    assert set(yaml.safe_load(PARAMS.read_text())) == set(CONFIGS)
