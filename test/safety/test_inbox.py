"""Proposals wait for their tick, so that jitter between two processes is not mistaken for a wild source."""

import numpy as np
import pytest
from safety_world import PERIOD_NS, ROS_START, World

from so_arm_policy.robot.description import load_robot
from so_arm_policy.safety.inbox import DEPTH, Inbox

ROBOT = load_robot("so101")


def numbers(shown):
    return {source: proposal.sequence for source, proposal in shown.items()}


def test_one_for_each_tick_in_order():
    world, inbox = World(ROBOT), Inbox(["pid", "hold"])
    inbox.put("pid", world.proposal())
    inbox.put("pid", world.proposal())
    inbox.put("hold", world.proposal(source="hold"))
    assert numbers(inbox.take(following=True)) == {"pid": 1, "hold": 3}
    assert numbers(inbox.take(following=True)) == {"pid": 2, "hold": 3}
    assert numbers(inbox.take(following=True)) == {"pid": 2, "hold": 3}


def test_while_nothing_moves_the_newest_counts():
    world, inbox = World(ROBOT), Inbox(["pid"])
    for _ in range(2):
        inbox.put("pid", world.proposal())
    assert numbers(inbox.take(following=False)) == {"pid": 2}


def test_a_flood_keeps_the_newest():
    world, inbox = World(ROBOT), Inbox(["pid"])
    for _ in range(1000):
        inbox.put("pid", world.proposal())
    assert numbers(inbox.take(following=True)) == {"pid": 1001 - DEPTH}


def test_strangers_are_not_kept():
    world, inbox = World(ROBOT), Inbox(["pid"])
    inbox.put("stranger", world.proposal(source="stranger"))
    assert inbox.take(following=True) == {}


@pytest.mark.parametrize("phase", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("jitter_ms", [0.2, 0.5, 1.0])
def test_a_legal_source_in_another_process_is_hardly_touched(phase, jitter_ms):
    """Both tick on their own grid, with late starts; the source moves at up to 0.9 rad/s."""
    rng, ticks = np.random.default_rng(0), 1500
    world, inbox = World(ROBOT), Inbox(["pid"])
    start_ns = world.now_ns
    direction = np.eye(world.n)[0]

    def lateness():
        return int(abs(rng.normal(0.0, jitter_ms * 1e6)))

    sent = sorted((int((k + phase) * PERIOD_NS) + lateness(), k) for k in range(ticks))
    for k in range(1, ticks):
        now = k * PERIOD_NS + lateness()
        world.now_ns, world.ros_ns = start_ns + now, ROS_START + now
        while sent and sent[0][0] <= now:
            arrived, n = sent.pop(0)
            made = int((n + phase) * PERIOD_NS)
            q = ROBOT.home + 0.3 * np.sin(3 * made / 1e9) * direction
            dq = 0.9 * np.cos(3 * made / 1e9) * direction
            stamps = {"stamp_ns": ROS_START + made, "observation_stamp_ns": ROS_START + made}
            inbox.put("pid", world.proposal(q, dq=dq, received_ns=start_ns + arrived, **stamps))
        world.proposals = inbox.take(following=world.supervisor.mode.name == "ACTIVE")
        world.tick()
    assert world.supervisor.passed / ticks > 0.98
