"""What a bundle scored, as its manifest keeps it: figures, and the command that measured them."""

import dataclasses
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from so_arm_policy.core.errors import BundleError, ConfigError
from so_arm_policy.core.mapping import from_mapping, to_mapping
from so_arm_policy.evaluate.campaign import Campaign, Summary
from so_arm_policy.evaluate.policy_agent import PolicyTiming
from so_arm_policy.policy.manifest import Manifest, read_manifest, write_manifest


@dataclass(frozen=True, kw_only=True)
class Score:
    """How a bundle did one task on some seeds.

    seeds: as on the command line; split, shuffled, all_objects, precision, joining, timing: as in Campaign.
    wilson_95: 95 % interval. mean_time_s, smoothness: of the successes; mean_distance_m, mean_held_s: of all, as the
    task measures it. of: id of the bundle that was measured, where this one was made of it and moves as it did.
    """

    task: str
    seeds: str
    split: str = "train"
    shuffled: bool = False
    all_objects: bool = False
    precision: str = "fp32"
    joining: str = "committed"
    timing: PolicyTiming = field(default_factory=PolicyTiming)
    episodes: int
    successes: int
    wilson_95: tuple[float, float]
    mean_time_s: float | None
    mean_distance_m: float | None
    mean_held_s: float | None = None
    smoothness: float | None
    command: str
    of: str = ""

    @property
    def label(self) -> str:
        """Key among the scores of a manifest: what was measured, without the figures."""
        special = [f"split {self.split}"] if self.split != "train" else []
        special += ["instructions shuffled"] if self.shuffled else []
        special += ["all objects"] if self.all_objects else []
        special += [self.precision] if self.precision != "fp32" else []
        special += [f"joining {self.joining}"] if self.joining != "committed" else []
        special += [f"{name} {value}" for name, value in _unusual(self.timing).items()]
        return ", ".join([f"{self.task} seeds {self.seeds}", *special])

    def only(self, **changes: object) -> bool:
        """Whether `changes` are all in which this differs from the usual score; ... stands for any value."""
        usual = {"split": "train", "shuffled": False, "precision": "fp32", "joining": "committed"}
        wanted = usual | {"timing": PolicyTiming()} | changes
        return all(value is ... or getattr(self, name) == value for name, value in wanted.items())


def score_of(campaign: Campaign, seeds: str, summary: Summary) -> Score:
    """Return what `summary` says of the campaign's bundle. seeds: as on the command line."""
    return Score(
        task=campaign.task,
        seeds=seeds,
        split=campaign.split,
        shuffled=campaign.shuffle_instructions,
        all_objects=campaign.all_objects,
        precision=campaign.precision,
        joining=campaign.joining,
        timing=campaign.timing,
        episodes=summary.episodes,
        successes=summary.successes,
        wilson_95=(round(summary.success_low, 4), round(summary.success_high, 4)),
        mean_time_s=_rounded(summary.mean_time_s, 3),
        mean_distance_m=_rounded(summary.mean_distance_m, 5),
        mean_held_s=_rounded(summary.mean_held_s, 3),
        smoothness=_rounded(summary.smoothness, 2),
        command=_command(campaign, seeds),
    )


def keep_score(folder: Path, score: Score) -> None:
    """Write `score` into the manifest of the bundle in `folder`, beside those of other tasks, seeds and settings."""
    manifest = read_manifest(folder)
    write_manifest(folder, dataclasses.replace(manifest, scores=manifest.scores | {score.label: to_mapping(score)}))


def scores_of(manifest: Manifest) -> list[Score]:
    """Return the scores of a manifest, by label. Raises BundleError for one that is none."""
    scores = []
    for label, data in sorted(manifest.scores.items()):
        try:
            if not isinstance(data, Mapping):
                raise ConfigError(f"score: got {data!r}, expected a mapping")
            scores.append(from_mapping(Score, data, "score"))
        except ConfigError as error:
            raise BundleError(
                f"bundle {manifest.id!r}: {error} in {label!r}; measure it again with `so-arm eval --into-manifest`"
            ) from error
    return scores


def _command(campaign: Campaign, seeds: str) -> str:
    """Return the command line that measures the same again."""
    bundle = Path(str(campaign.bundle))
    words = ["so-arm", "eval", campaign.task, "--bundle", bundle.name, "--seeds", seeds]
    words += ["--split", campaign.split] if campaign.split != "train" else []
    words += ["--shuffle-instructions"] if campaign.shuffle_instructions else []
    words += ["--all-objects"] if campaign.all_objects else []
    words += ["--precision", campaign.precision] if campaign.precision != "fp32" else []
    words += ["--joining", campaign.joining] if campaign.joining != "committed" else []
    options = {
        "context_hz": "--context-hz",
        "context_latency_ticks": "--context-latency",
        "infer_every": "--infer-every",
        "inference_delay_ticks": "--inference-delay",
    }
    words += [word for name, value in _unusual(campaign.timing).items() for word in (options[name], str(value))]
    return shlex.join(words)


def _unusual(timing: PolicyTiming) -> dict[str, object]:
    """Return what differs from the default timing, by name."""
    usual = PolicyTiming()
    values = {f.name: getattr(timing, f.name) for f in dataclasses.fields(timing)}
    return {name: value for name, value in values.items() if value != getattr(usual, name)}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
