"""`so-arm eval`: success of a policy, or of a scripted agent, on many seeds, with its interval."""

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.mapping import to_mapping
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.evaluate.campaign import SCRIPTED, Campaign, Summary, run_campaign, summarise
from so_arm_policy.evaluate.policy_agent import PolicyTiming
from so_arm_policy.evaluate.rollout import EpisodeResult
from so_arm_policy.evaluate.scores import keep_score, score_of
from so_arm_policy.policy.graphs import PRECISIONS
from so_arm_policy.policy.system1 import JOININGS
from so_arm_policy.sim.tasks.task import SPLITS

MAX_SEEDS = 1_000_000
SPLIT_TEXTS = {"train": "", "phrases": "held-out phrasings, ", "pairs": "held-out pairs, "}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    timing = PolicyTiming()
    parser.add_argument("task", help="task to evaluate on, e.g. reach")
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--bundle", help="policy: path of a bundle, or the name of a shipped one")
    who.add_argument("--agent", choices=sorted(SCRIPTED), help="hand-crafted controller, by camera or privileged")
    parser.add_argument("--seeds", default="1000:1200", help="FIRST:END (END not included), or numbers with commas")
    parser.add_argument(
        "--shuffle-instructions",
        action="store_true",
        help="tell each episode an instruction of its scene drawn at random, judge it by the right one",
    )
    parser.add_argument(
        "--split",
        choices=SPLITS,
        default=SPLITS[0],
        help="episodes as in training, with phrasings never trained on, or about colour-kind pairs never trained on; "
        "`reach` has these two with --all-objects only",
    )
    parser.add_argument(
        "--all-objects",
        action="store_true",
        help="in scenes of every colour and kind that policies are trained on, also where the task's own have fewer",
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the weights of a bundle's System 1")
    parser.add_argument(
        "--joining",
        choices=JOININGS,
        default="committed",
        help="chunks are made for the motion under way, or for what is measured, or are averaged (ensemble)",
    )
    parser.add_argument("--robot", help="robot of a scripted agent (default: the task's); a bundle names its own")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every episode and the summary to FILE")
    parser.add_argument("--into-manifest", action="store_true", help="write the figures into the bundle's manifest")
    parser.add_argument("--gif", type=Path, metavar="FOLDER", help="write a GIF of each episode into FOLDER")
    parser.add_argument("--context-hz", type=float, default=timing.context_hz, help="contexts a simulated second")
    parser.add_argument(
        "--context-latency", type=int, default=timing.context_latency_ticks, help="ticks from picture to context"
    )
    parser.add_argument("--infer-every", type=int, help="ticks between inferences (default: the bundle's)")
    parser.add_argument(
        "--inference-delay", type=int, default=timing.inference_delay_ticks, help="ticks from measurement to chunk"
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the summary. Raises SoArmError."""
    seeds = parse_seeds(args.seeds)
    _check_outputs(args.json, args.gif)
    if args.into_manifest and not args.bundle:
        raise ConfigError("--into-manifest: got no --bundle, expected the one whose manifest to write")
    campaign = Campaign(
        task=args.task,
        bundle=str(find_shipped("bundles", args.bundle)) if args.bundle else None,
        scripted=args.agent,
        robot=args.robot,
        shuffle_instructions=args.shuffle_instructions,
        split=args.split,
        all_objects=args.all_objects,
        timing=PolicyTiming(
            context_hz=args.context_hz,
            context_latency_ticks=args.context_latency,
            infer_every=args.infer_every,
            inference_delay_ticks=args.inference_delay,
        ),
        precision=args.precision,
        joining=args.joining,
        gif=str(args.gif) if args.gif else None,
    )
    results: list[EpisodeResult] = []
    with tqdm(total=len(seeds), unit="episode", dynamic_ncols=True) as bar:
        for result in run_campaign(campaign, seeds, args.jobs):
            results.append(result)
            bar.set_postfix(success=f"{sum(r.success for r in results)}/{len(results)}", refresh=False)
            bar.update()
    summary = summarise(results)
    if args.json:
        _write_json(args.json, campaign, summary, results)
    if args.into_manifest:
        keep_score(Path(str(campaign.bundle)), score_of(campaign, args.seeds, summary))
    print(report(campaign, args.seeds, summary))
    return 0


def parse_seeds(text: str) -> list[int]:
    """Read `FIRST:END` or `1,2,3`. Raises ConfigError."""
    parts = text.split(":") if ":" in text else text.split(",")
    numbers = [int(part) for part in parts if part.strip().isdecimal() and len(part) < 12]
    if len(numbers) != len(parts) or (":" in text and len(parts) != 2):
        raise ConfigError(f"seeds: got {text!r}, expected FIRST:END or numbers with commas, e.g. 1000:1200")
    if ":" not in text:
        if len(set(numbers)) != len(numbers):
            raise ConfigError(f"seeds: got {text!r}, expected each number once")
        return numbers
    first, end = numbers
    if not 0 < end - first <= MAX_SEEDS:
        raise ConfigError(f"seeds: got {end - first} of them in {text!r}, expected 1..{MAX_SEEDS}")
    return list(range(first, end))


def report(campaign: Campaign, seeds: str, summary: Summary) -> str:
    """Return the summary as text for people."""
    told = f"{SPLIT_TEXTS[campaign.split]}instructions "
    told += "drawn at random" if campaign.shuffle_instructions else "the right ones"
    told += f", {campaign.precision}, chunks joined {campaign.joining}" if campaign.bundle else ""
    rate = summary.successes / summary.episodes
    interval = f"95 % Wilson interval {100 * summary.success_low:.1f} .. {100 * summary.success_high:.1f} %"
    lines = [
        f"{campaign.task} by {campaign.bundle or campaign.scripted}, seeds {seeds}, {told}",
        f"  success          {summary.successes} of {summary.episodes} = {100 * rate:.1f} %  ({interval})",
        f"  final distance   {_number(summary.mean_distance_m, 100, 'cm')} in the mean",
        f"  at the goal      {_number(summary.mean_held_s, 1, 's')} of each episode in the mean",
        f"  time to success  {_number(summary.mean_time_s, 1, 's')} in the mean of the successes",
        f"  smoothness       {_number(summary.smoothness, 1, 'log dimensionless jerk')} in the median of the successes",
        f"  verdicts         {_counts(summary.actions)}",
        f"  reasons          {_counts(summary.rules)}",
    ]
    if summary.silences:
        lines.append(f"  no command       {_counts(summary.silences)} ticks")
    if summary.inferences:
        for name, count, p50, p99 in (
            ("System 1", summary.inferences, summary.system1_p50_ms, summary.system1_p99_ms),
            ("System 2", summary.contexts, summary.system2_p50_ms, summary.system2_p99_ms),
        ):
            lines.append(f"  {name}         {count} runs, p50 {_number(p50, 1, 'ms')}, p99 {_number(p99, 1, 'ms')}")
    return "\n".join(lines)


def _number(value: float | None, scale: float, unit: str) -> str:
    return "none" if value is None else f"{value * scale:.2f} {unit}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def _check_outputs(json_path: Path | None, gif: Path | None) -> None:
    """Fail before the work, not after it."""
    if json_path is not None and (json_path.is_dir() or not json_path.absolute().parent.is_dir()):
        raise ConfigError(f"--json: got {json_path}, expected a file in a folder that exists")
    if gif is not None and gif.exists() and not gif.is_dir():
        raise ConfigError(f"--gif: got {gif}, expected a folder")


def _write_json(path: Path, campaign: Campaign, summary: Summary, results: list[EpisodeResult]) -> None:
    data = {"campaign": to_mapping(campaign), "summary": to_mapping(summary), "episodes": to_mapping(results)}
    try:
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--json: got {error}, expected a file that can be written") from error
