"""What the monitors of a calibrated bundle notice, on clean and on perturbed episodes, and when.

`python bench/monitors.py --bundle so101_flow --task pick_place --episodes 20` prints the table of docs/safety.md.
Doubts only warn here (`--answer slow` and `--answer fallback` show what acting on them changes). A perturbation of
pictures begins `--onset` s into the episode; a doubt counts when it lasts at some tick from then on. Simulated time: a
busy machine changes nothing.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from joblib import Parallel, delayed

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from so_arm_policy.core.errors import ConfigError  # noqa: E402
from so_arm_policy.core.paths import find_shipped  # noqa: E402
from so_arm_policy.core.timegrid import CONTROL_HZ  # noqa: E402
from so_arm_policy.evaluate.perturbations import PERTURBATIONS, perturbed  # noqa: E402
from so_arm_policy.evaluate.policy_agent import PolicyAgent  # noqa: E402
from so_arm_policy.evaluate.rollout import EpisodeResult, Rollout, Step  # noqa: E402
from so_arm_policy.policy.bundle import load_bundle  # noqa: E402
from so_arm_policy.robot.description import load_robot  # noqa: E402
from so_arm_policy.safety.config import ANSWERS, SupervisorConfig  # noqa: E402
from so_arm_policy.safety.doubt import CODES  # noqa: E402
from so_arm_policy.sim.tasks import make_task  # noqa: E402
from so_arm_policy.sim.tasks.task import Episode  # noqa: E402


@dataclass
class Watch:
    """Subscriber: for each code, from which tick on a doubt lasted, and for how many ticks."""

    onset_tick: int
    first: dict[str, int] = field(default_factory=dict)
    ticks: int = 0
    success: bool = False

    def on_start(self, episode: Episode) -> None:
        """Nothing to note."""

    def on_step(self, step: Step) -> None:
        """Note the doubts of one tick."""
        if step.tick < self.onset_tick:
            return
        self.ticks += bool(step.verdict.doubts)
        for code in step.verdict.doubts:
            self.first.setdefault(code, step.tick)

    def on_end(self, result: EpisodeResult) -> None:
        """Note how it ended."""
        self.success, self.length = result.success, result.ticks

    def seconds(self, code: str = "") -> float | None:
        """Return the time from the onset to the first doubt of `code`, or of any."""
        ticks = [tick for c, tick in self.first.items() if code in ("", c)]
        return (min(ticks) - self.onset_tick) / CONTROL_HZ if ticks else None


def run(bundle: str, task_name: str, name: str, seeds: Sequence[int], onset_s: float, answer: str) -> list[Watch]:
    """Run one perturbation on `seeds`; nothing where the task has no such episodes."""
    perturbation, loaded, task = PERTURBATIONS[name], load_bundle(bundle), make_task(task_name)
    if loaded.monitors() is None:
        raise ConfigError(f"{bundle}: got a bundle without monitors, expected `so-arm calibrate` to have been run")
    robot = load_robot(loaded.manifest.robot)
    onset_tick = 0 if perturbation.from_the_start else round(onset_s * CONTROL_HZ)
    agent = perturbed(PolicyAgent(loaded, robot), perturbation, robot, onset_tick)
    safety = SupervisorConfig(sources=(agent.name,), on_novelty=answer, on_disagreement=answer, on_context_age=answer)
    rollout = Rollout(task, robot, agent, safety)
    watched = []
    for seed in seeds:
        try:
            episode = perturbation.episode(task, seed) if perturbation.episode else task.sample(seed)
        except ConfigError:
            break
        watched.append(Watch(onset_tick))
        rollout.run(episode, [watched[-1]])
    rollout.close()
    agent.close()
    return watched


def row(name: str, watched: list[Watch]) -> str:
    """Return a row of the table."""
    n, failed = len(watched), [w for w in watched if not w.success]
    cells = [f"`{name}`", PERTURBATIONS[name].text, f"{n - len(failed)}/{n}"]
    cells += [f"{sum(code in w.first for w in watched)}/{n}" for code in CODES.values()]
    cells += [f"{sum(bool(w.first) for w in watched)}/{n}", f"{sum(bool(w.first) for w in failed)}/{len(failed)}"]
    times = [s for w in watched if (s := w.seconds()) is not None]
    share = sum(w.ticks for w in watched) / max(1, sum(w.length - w.onset_tick for w in watched))
    cells += [f"{median(times):.1f}" if times else "", f"{share:.1%}"]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Run all and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", default="so101_flow", help="calibrated bundle (default %(default)s)")
    parser.add_argument("--task", default="pick_place", help="default %(default)s")
    parser.add_argument("--episodes", type=int, default=20, help="of each row (default %(default)s)")
    parser.add_argument("--first-seed", type=int, default=7000, help="default %(default)s")
    parser.add_argument("--onset", type=float, default=0.5, help="s until pictures are perturbed (default %(default)s)")
    parser.add_argument("--answer", choices=ANSWERS, default=ANSWERS[0], help="what doubts do (default %(default)s)")
    parser.add_argument("--only", help="perturbations, with commas")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default %(default)s)")
    args = parser.parse_args()
    names = args.only.split(",") if args.only else list(PERTURBATIONS)
    bundle = str(find_shipped("bundles", args.bundle))
    heads = ["perturbation", "what", "success", *CODES, "any", "any, of failed", "s to it", "ticks"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name in names:
        one = partial(run, bundle, args.task, name, onset_s=args.onset, answer=args.answer)
        seeds = range(args.first_seed, args.first_seed + args.episodes)
        parts = Parallel(n_jobs=args.jobs)(delayed(one)(seeds=seeds[k :: args.jobs]) for k in range(args.jobs))
        watched = [w for part in parts for w in part]
        if watched:
            print(row(name, watched), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
