"""A policy at work, recorded for System 2: what the cameras saw and where things were, wherever the arm was taken.

Demonstrations show the arm only where an expert takes it. From these alone System 2 learns to tell where a hidden
object is from where the arm is, and errs where a policy has taken it. So it also learns from what policies get to see,
with the true places, which the simulator knows in any state: DAgger (Ross et al. 2011) for the part that sees.
"""

import dataclasses

import numpy as np

from so_arm_policy.core.values import Proposal
from so_arm_policy.evaluate.agent import AgentReport, Moment
from so_arm_policy.evaluate.policy_agent import PolicyAgent
from so_arm_policy.evaluate.rollout import Rollout
from so_arm_policy.learn.datasets.writer import EpisodeRecord
from so_arm_policy.learn.demonstrations.episode_rows import ROW_TICKS, EpisodeRows
from so_arm_policy.learn.demonstrations.labels import SceneLabels
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.policy.preprocess import resize
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.tasks.task import Episode, Task


class PolicyAtWork:
    """Simulator, supervisor and a bundle's policy, made once for each worker process."""

    def __init__(self, task: Task, bundle: str) -> None:
        """bundle: its folder. Raises BundleError."""
        self._task, self._robot = task, load_robot(task.robot)
        self._policy = PolicyAgent(load_bundle(bundle, self._robot), self._robot)

    def record(self, seed: int, picture_every: int, size: tuple[int, int]) -> EpisodeRecord:
        """Let the policy do the episode of `seed`; a picture every few rows, in `size` (height, width)."""
        witness = Witness(self._policy, SceneLabels(self._robot), self._robot.camera_names, picture_every, size)
        rollout = Rollout(self._task, self._robot, witness)
        episode = self._task.sample(seed)
        try:
            rollout.run(episode)
        finally:
            rollout.close()
        return witness.rows.record(episode.instruction, self._robot.camera_names)


class Witness:
    """An agent that does what another one does, and keeps `rows` of it."""

    def __init__(
        self,
        policy: PolicyAgent,
        labels: SceneLabels,
        cameras: tuple[str, ...],
        picture_every: int,
        size: tuple[int, int],
    ) -> None:
        """picture_every: rows; size: height and width of pictures."""
        self.name = policy.name
        self.rows = EpisodeRows()
        self._policy, self._labels, self._cameras = policy, labels, cameras
        self._picture_every, self._size = picture_every, size

    def reset(self, episode: Episode) -> None:
        """Begin `episode`, with no rows."""
        self.rows = EpisodeRows()
        self._policy.reset(episode)

    def propose(self, moment: Moment) -> Proposal | None:
        """Return what the policy proposes; every few ticks, keep what was seen and what was done."""
        row, between = divmod(moment.tick, ROW_TICKS)
        if between == 0 and row % self._picture_every == 0:
            images = moment.look(self._cameras)
            pictures = np.stack([resize(images[name].rgb, *self._size) for name in self._cameras])
            self.rows.see(pictures, self._labels.of(moment.simulator))
            moment = dataclasses.replace(moment, look=lambda cameras: {name: images[name] for name in cameras})
        proposal = self._policy.propose(moment)
        if between == 0:
            self.rows.add(moment.sample.q, moment.sample.q if proposal is None else proposal.q, {})
        return proposal

    def report(self) -> AgentReport:
        """Say what the policy did since the reset."""
        return self._policy.report()
