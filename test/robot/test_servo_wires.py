"""Terminals of several arms by one text: each answers under its own link until all are taken away."""

import pytest
from servo_world import PATIENT_S

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.robot.description import load_robot
from so_arm_policy.robot.feetech.bus import ServoBus
from so_arm_policy.sim.servo_bus.arms import sim_servos
from so_arm_policy.sim.servo_bus.bus import SimBus
from so_arm_policy.sim.servo_bus.wires import Wires


@pytest.fixture
def buses():
    robot = load_robot("so101_bimanual")
    return [SimBus(sim_servos(robot, arm)) for arm in range(2)]


def test_each_arm_answers_under_its_own_link_until_the_terminals_are_taken_away(tmp_path, buses):
    links = [tmp_path / "left", tmp_path / "right"]
    wires = Wires(buses, f"{links[0]}, {links[1]}")
    assert not any(link.exists() for link in links)
    wires.start()
    try:
        for link, bus in zip(links, buses, strict=True):
            host = ServoBus(str(link), [1], patience_s=PATIENT_S)
            assert host.ping(1) == 777
            host.close()
            assert bus.counts["instructions"] == 1
    finally:
        wires.stop()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("port", ["", "one", "one,two,three", "one,"])
def test_another_number_of_links_than_of_arms_is_refused(buses, port):
    with pytest.raises(ConfigError, match=r"port: got \[.*\], expected 2, one for each arm"):
        Wires(buses, port)
