"""What a policy's monitors are calibrated by: runs behind the supervisor, of which the successful ones count.

One half of them says what is familiar, the other half how far from it a successful run goes. The thresholds are those
of split conformal prediction (Vovk, Gammerman and Shafer, "Algorithmic learning in a random world", 2005; Angelopoulos
and Bates, "A gentle introduction to conformal prediction", 2023): a further successful run, drawn like these, passes
one with a probability of at most alpha, whatever the distribution of the scores. Each threshold is one such promise,
also for each task by itself where enough of its episodes were successful.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.core.values import CameraImage, Proposal
from so_arm_policy.evaluate.agent import AgentReport, Moment
from so_arm_policy.evaluate.policy_agent import PolicyAgent
from so_arm_policy.evaluate.rollout import Rollout
from so_arm_policy.evaluate.statistics import conformal_quantile, least_scores
from so_arm_policy.policy.appearance import appearance, fit_appearance
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.policy.manifest import Manifest
from so_arm_policy.policy.monitors import Monitors, raw_monitors
from so_arm_policy.policy.novelty import Familiar, features, fit
from so_arm_policy.policy.preprocess import resize
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.scene import EVERYTHING
from so_arm_policy.sim.tasks import make_task
from so_arm_policy.sim.tasks.task import Episode

# No training draws these (it begins at 100000), and no published score (they end before 90000).
SEEDS = range(90_000, 100_000)
PART = 5  # episodes for which a process loads the bundle and compiles the model once
LEAST = 1e-3  # a threshold, of a distance or in rad: a policy that never varies must not be doubted for rounding


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """What one episode showed.

    seen: features of its contexts, (contexts, d); looks: how their pictures look, (contexts, cameras, STATISTICS);
    context: for each tick with a proposal the row of `seen` that it follows from, (ticks,); disagreement_rad: (ticks,).
    """

    task: str
    seed: int
    success: bool
    seen: npt.NDArray[np.float32] = field(repr=False)
    looks: npt.NDArray[np.float64] = field(repr=False)
    context: npt.NDArray[np.int64] = field(repr=False)
    disagreement_rad: FloatArray = field(repr=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """monitors, and by how many successful episodes.

    novelty, disagreement_rad: peaks of those that set thresholds; looks: theirs too, for each camera.
    """

    monitors: Monitors
    fitted: int
    held_out: int
    novelty: tuple[float, ...]
    looks: tuple[tuple[float, ...], ...]
    disagreement_rad: tuple[float, ...]


class _Watched:
    """A policy, and what it saw and how it disagreed in the present episode."""

    def __init__(self, agent: PolicyAgent, manifest: Manifest) -> None:
        self.name = agent.name
        self._agent, self._manifest = agent, manifest

    def reset(self, episode: Episode) -> None:
        self._agent.reset(episode)
        self.seen: dict[int, npt.NDArray[np.float32]] = {}
        self.looks: dict[int, npt.NDArray[np.float64]] = {}
        self.ticks: list[tuple[int, float]] = []

    def propose(self, moment: Moment) -> Proposal | None:
        proposal = self._agent.propose(replace(moment, look=lambda cameras: self._look(moment, cameras)))
        context, chunk = self._agent.context, self._agent.chunk
        if context is not None and context.stamp_ns not in self.seen:
            self.seen[context.stamp_ns] = features(context.keys_values)
        if proposal is not None and chunk is not None:
            self.ticks.append((chunk.context_stamp_ns, proposal.disagreement))
        return proposal

    def report(self) -> AgentReport:
        return self._agent.report()

    def _look(self, moment: Moment, cameras: Sequence[str]) -> Mapping[str, CameraImage]:
        """Look as the policy does, and keep how that looks under the stamp that its context will have."""
        pictures, size = moment.look(cameras), (self._manifest.image_height, self._manifest.image_width)
        stamp_ns = min(pictures[camera].stamp_ns for camera in cameras)
        self.looks[stamp_ns] = np.stack([appearance(resize(pictures[camera].rgb, *size)) for camera in cameras])
        return pictures


def watch(bundle: str, task_name: str, seeds: Sequence[int], all_objects: bool = False) -> list[Course]:
    """Run the policy in the folder `bundle` on `seeds` and return what happened. Raises BundleError, ConfigError."""
    loaded = load_bundle(bundle)
    robot, task = load_robot(loaded.manifest.robot), make_task(task_name, EVERYTHING if all_objects else None)
    agent = _Watched(PolicyAgent(loaded, robot, monitors=raw_monitors(loaded.manifest)), loaded.manifest)
    rollout = Rollout(task, robot, agent)
    courses = []
    for seed in seeds:
        result = rollout.run(task.sample(seed))
        row = {stamp_ns: k for k, stamp_ns in enumerate(agent.seen)}
        courses.append(
            Course(
                task=task_name,
                seed=seed,
                success=result.success,
                seen=np.array(list(agent.seen.values())),
                looks=np.array([agent.looks[stamp_ns] for stamp_ns in agent.seen]),
                context=np.array([row[stamp_ns] for stamp_ns, _ in agent.ticks], dtype=np.int64),
                disagreement_rad=np.array([rad for _, rad in agent.ticks], dtype=np.float64),
            )
        )
    rollout.close()
    return courses


def watch_all(
    bundle: str, tasks: Sequence[str], seeds: Sequence[int], jobs: int = 1, all_objects: bool = False
) -> Iterator[list[Course]]:
    """Yield the courses of each task and part of the seeds, in order; the same whatever `jobs` is."""
    if not 1 <= jobs <= 256:
        raise ConfigError(f"calibration: got {jobs} jobs, expected 1..256")
    parts = [(task, seeds[k : k + PART]) for task in tasks for k in range(0, len(seeds), PART)]
    calls = (delayed(watch)(bundle, task, part, all_objects) for task, part in parts)
    return iter(Parallel(n_jobs=jobs, return_as="generator")(calls))


def calibrate(courses: Sequence[Course], alpha: float, doubt_s: float) -> Calibration:
    """Return the monitors that `courses` speak for.

    alpha: share of successful episodes in which each may be wrong. doubt_s: for how long the supervisor wants a score
    to be too high. Raises ConfigError when too few courses were successful, ShapeError when these saw always the same.
    """
    of_task: dict[str, list[Course]] = defaultdict(list)
    for course in courses:
        if course.success and len(course.context):
            of_task[course.task].append(course)
    fitted = [c for some in of_task.values() for c in some[::2]]
    held_out = [c for some in of_task.values() for c in some[1::2]]
    if not fitted or not held_out:
        raise ConfigError(f"calibration: got {len(fitted)} successful of {len(courses)} episodes, expected many more")
    familiar = fit(np.concatenate([c.seen for c in fitted]))
    familiar_looks = fit_appearance(np.concatenate([c.looks for c in fitted]))
    ticks = round(doubt_s * CONTROL_HZ)
    novelty = tuple(lasting_peak(_distances(familiar, c)[c.context], ticks) for c in held_out)
    away = [np.array([familiar_looks.distances(one) for one in c.looks])[c.context] for c in held_out]
    looks = tuple(tuple(lasting_peak(a[:, k], ticks) for a in away) for k in range(len(familiar_looks.mean)))
    disagreement = tuple(lasting_peak(c.disagreement_rad, ticks) for c in held_out)
    of = [c.task for c in held_out]
    return Calibration(
        monitors=Monitors(
            familiar,
            novelty_threshold=_threshold(novelty, of, alpha),
            disagreement_rad=_threshold(disagreement, of, alpha),
            looks=familiar_looks,
            looks_thresholds=np.array([_threshold(of_camera, of, alpha) for of_camera in looks]),
        ),
        fitted=len(fitted),
        held_out=len(held_out),
        novelty=novelty,
        looks=looks,
        disagreement_rad=disagreement,
    )


def _threshold(peaks: Sequence[float], tasks: Sequence[str], alpha: float) -> float:
    """Return the threshold that keeps the promise for all `peaks` together, and for each task that has enough of them.

    Otherwise a task whose scores are higher than those of others would have all the false alarms.
    """
    found = [LEAST, conformal_quantile(peaks, alpha)]
    for task in set(tasks):
        of_task = [peak for peak, t in zip(peaks, tasks, strict=True) if t == task]
        if len(of_task) >= least_scores(alpha):
            found.append(conformal_quantile(of_task, alpha))
    return max(found)


def lasting_peak(scores: FloatArray, ticks: int) -> float:
    """Return the largest score that lasts: the highest value that `ticks` consecutive scores reach; all, if fewer."""
    width = max(1, min(ticks, len(scores)))
    return float(np.lib.stride_tricks.sliding_window_view(scores, width).min(axis=1).max())


def _distances(familiar: Familiar, course: Course) -> FloatArray:
    return np.array([familiar.distance(seen) for seen in course.seen])
