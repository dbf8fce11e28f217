"""What a controller may meet that it was not made for: in its pictures, its instruction, its arm or its sensors.

Those of pictures begin at `onset_tick`, all others with the episode. What the episode is judged by stays as it is. The
rows of PERTURBATIONS are what monitors should notice; those that have a strength are in graded.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import CameraImage, Proposal
from so_arm_policy.evaluate.agent import Agent, AgentReport, Backed, Moment, StandIn
from so_arm_policy.evaluate.disturbances import Disturbance
from so_arm_policy.sim.renderer import SceneRenderer
from so_arm_policy.sim.scene import Scene
from so_arm_policy.sim.tasks.task import Episode, Task

Pictures = Mapping[str, CameraImage]
FIRST = "overhead"  # the camera that is blocked, or black; the first one where there is no such camera


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a perturbation of pictures may use.

    now: those of this tick, at_onset: those it began with, last: those that arrived at the look before this one (at the
    first look, those of now). seed: of the episode.
    """

    now: Pictures
    at_onset: Pictures
    last: Pictures
    rng: np.random.Generator
    seed: int
    tick: int


@dataclass(frozen=True, kw_only=True)
class Perturbation:
    """What is changed; at most one of scene and pictures.

    scene: what is drawn instead; pictures: what arrives instead; episode: what is tried instead; disturbance: what
    befalls the arm, for a Rollout; latency_ticks: how much longer pictures take until they are used.
    """

    text: str
    scene: Callable[[Scene], Scene] | None = None
    pictures: Callable[[Seen], Pictures] | None = None
    episode: Callable[[Task, int], Episode] | None = None
    disturbance: Callable[[], Disturbance] | None = None
    latency_ticks: int = 0

    @property
    def from_the_start(self) -> bool:
        """Whether it begins with the episode."""
        return self.pictures is None and self.scene is None


@runtime_checkable
class Delayable(Protocol):
    """An agent that looks at the table, or at pictures of it, and knows only later what it saw."""

    def add_latency(self, ticks: int) -> None:
        """Take so much longer, from the next reset on. Raises ConfigError where that would be too long."""
        ...


class _View:
    """What whoever acts is shown in an episode, from `onset_tick` on."""

    def __init__(self, perturbation: Perturbation, robot: RobotConfig, onset_tick: int) -> None:
        self._perturbation, self._onset_tick = perturbation, onset_tick
        self._renderer = SceneRenderer(robot) if perturbation.scene is not None else None

    def begin(self, episode: Episode) -> None:
        """Begin `episode`."""
        self._seed = episode.seed
        self._rng = np.random.default_rng([episode.seed, 505])
        self._scene = self._perturbation.scene(episode.scene) if self._perturbation.scene else None
        self._at_onset: Pictures | None = None
        self._last: Pictures = {}

    def of(self, moment: Moment) -> Moment:
        """Return `moment` as it is shown."""
        if moment.tick < self._onset_tick or self._perturbation.from_the_start:
            return moment
        return replace(moment, look=lambda cameras: self._look(moment, cameras))

    def close(self) -> None:
        """Free the renderer."""
        if self._renderer is not None:
            self._renderer.close()

    def _look(self, moment: Moment, cameras: Sequence[str]) -> Pictures:
        if self._renderer is not None and self._scene is not None:
            qpos = moment.simulator.qpos
            drawn = {c: self._renderer.render(self._scene, qpos, c) for c in cameras}
            return {c: CameraImage(camera=c, stamp_ns=moment.now_ns, rgb=rgb) for c, rgb in drawn.items()}
        now = moment.look(cameras)
        self._at_onset = {**now, **(self._at_onset or {})}
        assert self._perturbation.pictures is not None
        last = {name: self._last.get(name, picture) for name, picture in now.items()}
        seen = Seen(now=now, at_onset=self._at_onset, last=last, rng=self._rng, seed=self._seed, tick=moment.tick)
        arrived = {name: picture for name, picture in self._perturbation.pictures(seen).items() if name in now}
        self._last = {**self._last, **arrived}
        return arrived


class Perturbed:
    """An agent that meets a perturbation from `onset_tick` of each episode on. Its disturbance is up to the rollout."""

    def __init__(self, agent: Agent, perturbation: Perturbation, robot: RobotConfig, onset_tick: int) -> None:
        """Use `perturbed`, which knows of agents that have another behind them. Raises DeviceError."""
        _delay(agent, perturbation)
        self.name = agent.name
        self._agent = agent
        self._view = _View(perturbation, robot, onset_tick)

    def reset(self, episode: Episode) -> None:
        """Begin `episode`."""
        self._agent.reset(episode)
        self._view.begin(episode)

    def propose(self, moment: Moment) -> Proposal | None:
        """Let the agent act on what it sees now."""
        return self._agent.propose(self._view.of(moment))

    def report(self) -> AgentReport:
        """Return what the agent did."""
        return self._agent.report()

    def close(self) -> None:
        """Free the renderer."""
        self._view.close()


class _StandIn:
    """Who takes over, shown what the one before is shown: it does not begin the view anew when it begins."""

    def __init__(self, agent: StandIn, view: _View) -> None:
        self.name = agent.name
        self._agent, self._view = agent, view

    def reset(self, episode: Episode) -> None:
        self._agent.reset(episode)

    def stand_by(self, episode: Episode, moment: Moment) -> Proposal | None:
        return self._agent.stand_by(episode, moment)

    def propose(self, moment: Moment) -> Proposal | None:
        return self._agent.propose(self._view.of(moment))

    def report(self) -> AgentReport:
        return self._agent.report()


class _PerturbedPair(Perturbed):
    """An agent and who stands behind it: both meet the perturbation."""

    def __init__(self, agent: Backed, perturbation: Perturbation, robot: RobotConfig, onset_tick: int) -> None:
        super().__init__(agent, perturbation, robot, onset_tick)
        _delay(agent.fallback, perturbation)
        self.safety = agent.safety
        self.fallback = _StandIn(agent.fallback, self._view)


def perturbed(agent: Agent, perturbation: Perturbation, robot: RobotConfig, onset_tick: int) -> Perturbed:
    """Return `agent`, and whoever stands behind it, as they are when they meet a perturbation from `onset_tick` on.

    Raises DeviceError where nothing can be drawn off screen.
    """
    if isinstance(agent, Backed):
        return _PerturbedPair(agent, perturbation, robot, onset_tick)
    return Perturbed(agent, perturbation, robot, onset_tick)


def _delay(agent: Agent, perturbation: Perturbation) -> None:
    if isinstance(agent, Delayable):
        agent.add_latency(perturbation.latency_ticks)


def _first(pictures: Pictures) -> str:
    return FIRST if FIRST in pictures else next(iter(pictures))


def _noisy(seen: Seen) -> Pictures:
    def add(p: CameraImage) -> CameraImage:
        noise = seen.rng.normal(0.0, 40.0, p.rgb.shape)
        return replace(p, rgb=np.clip(p.rgb + noise, 0, 255).astype(np.uint8))

    return {name: add(p) for name, p in seen.now.items()}


def _blocked(seen: Seen) -> Pictures:
    """A grey patch over the middle, half as wide and high as the picture."""
    name = _first(seen.now)
    rgb = seen.now[name].rgb.copy()
    height, width = rgb.shape[:2]
    rgb[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 90
    return {**seen.now, name: replace(seen.now[name], rgb=rgb)}


def _black(seen: Seen) -> Pictures:
    name = _first(seen.now)
    return {**seen.now, name: replace(seen.now[name], rgb=np.zeros_like(seen.now[name].rgb))}


def _frozen(seen: Seen) -> Pictures:
    return {name: replace(seen.at_onset[name], stamp_ns=p.stamp_ns) for name, p in seen.now.items()}


def _swapped(seen: Seen) -> Pictures:
    """Each camera gives the picture of the next one."""
    names = list(seen.now)
    return {a: replace(seen.now[b], camera=a) for a, b in zip(names, names[1:] + names[:1], strict=True)}


def _unknown_colors(scene: Scene) -> Scene:
    """Pink, white and brown objects; people would still call them something, the policy never saw them."""
    paints = ((0.95, 0.45, 0.65), (0.95, 0.95, 0.95), (0.45, 0.28, 0.12))
    return replace(scene, objects=tuple(replace(o, rgb=p) for o, p in zip(scene.objects, paints, strict=True)))


def _absent(task: Task, seed: int) -> Episode:
    """The policy is told of an object that does not stand there; the episode cannot succeed but by chance."""
    episode = task.sample(seed)
    there = {o.words for o in episode.scene.objects}
    others = (task.sample(seed + k) for k in range(1, 1000))
    other = next(e for e in others if e.scene.objects[e.goal.steps[0].object].words not in there)
    return replace(episode, instruction=other.instruction)


PERTURBATIONS: Mapping[str, Perturbation] = {
    "clean": Perturbation(text="nothing", pictures=lambda seen: seen.now),
    "dark": Perturbation(text="light at 0.25 of normal", scene=lambda s: replace(s, brightness=0.25)),
    "bright": Perturbation(text="light at 2.5 times normal", scene=lambda s: replace(s, brightness=2.5)),
    "tinted": Perturbation(text="warm light", scene=lambda s: replace(s, tint=(1.6, 1.0, 0.4))),
    "noise": Perturbation(text="sensor noise, standard deviation 40 of 255", pictures=_noisy),
    "camera_bumped": Perturbation(
        text="overhead camera 1.5 cm aside", scene=lambda s: replace(s, camera_xyz=(0.015, 0.0, 0.0))
    ),
    "camera_moved": Perturbation(
        text="overhead camera 6 cm aside", scene=lambda s: replace(s, camera_xyz=(0.05, 0.03, 0.0))
    ),
    "blocked": Perturbation(text="a grey patch over the middle of the overhead picture", pictures=_blocked),
    "black": Perturbation(text="overhead picture black", pictures=_black),
    "frozen": Perturbation(text="pictures freeze, their stamps go on", pictures=_frozen),
    "stopped": Perturbation(text="no new pictures", pictures=lambda seen: seen.at_onset),
    "swapped": Perturbation(text="cameras swapped", pictures=_swapped),
    "unknown_colors": Perturbation(text="objects pink, white and brown", scene=_unknown_colors),
    "unknown_pairs": Perturbation(
        text="told of a pair of colour and kind never trained on", episode=lambda task, seed: task.sample(seed, "pairs")
    ),
    "absent": Perturbation(text="told of an object that is not there", episode=_absent),
}
