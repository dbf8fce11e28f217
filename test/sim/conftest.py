import pytest

from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.scene import random_scene
from so_arm_policy.sim.simulator import Simulator


@pytest.fixture(scope="session")
def robot():
    return load_robot("so101")


@pytest.fixture(scope="session")
def simulator(robot):
    return Simulator(robot, random_scene(0))


class Demonstration:
    """Follows an expert without rendering and tells how it went."""

    def __init__(self, simulator, expert, task):
        self.simulator, self.expert, self.task = simulator, expert, task

    def run(self, episode, *, told=None, nudge=None):
        """Do `told` (default: the goal) in `episode`, judged by its goal; nudge(tick, simulator) may interfere."""
        simulator, tracker = self.simulator, self.task.tracker(episode.goal)
        simulator.reset(episode.scene)
        self.expert.reset(simulator, told or episode.goal)
        for tick in range(round(self.task.time_limit_s * 120) + 1):
            status = tracker.update(simulator)
            if status.success:
                break
            if nudge is not None:
                nudge(tick, simulator)
            q, _ = self.expert.command(simulator)
            simulator.step(q)
        return status, simulator.qpos


@pytest.fixture(scope="session")
def demonstrations():
    """Makes a Demonstration of a simulator, an expert and a task."""
    return Demonstration
