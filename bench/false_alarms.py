"""How often the supervisor touches sources that do nothing wrong: share of ticks, by rule, in normal episodes.

`python bench/false_alarms.py`: the scripted expert, PID and servo, and every shipped bundle on each of its tasks. Ticks
before a source's first proposal are not counted: nothing was touched there. Simulated time: a busy machine changes
nothing.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from so_arm_policy.core.paths import SOURCE_ROOT  # noqa: E402
from so_arm_policy.evaluate.campaign import Campaign, run_campaign  # noqa: E402
from so_arm_policy.policy.manifest import read_manifest  # noqa: E402
from so_arm_policy.sim.tasks import TASKS  # noqa: E402

WAITING = ("time.silent", "time.no_state")  # for the first context


def campaigns() -> list[tuple[str, Campaign]]:
    """Every source on every task that it is for."""
    found = [("pid", Campaign(task="reach", scripted="pid")), ("servo", Campaign(task="track", scripted="servo"))]
    found += [("expert", Campaign(task=task, scripted="expert")) for task in TASKS]
    for path in sorted((SOURCE_ROOT / "bundles").iterdir()):
        tasks = read_manifest(path).tasks
        found += [(path.name, Campaign(task=task, bundle=str(path))) for task in tasks]
    return found


def main() -> int:
    """Run all and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=10, help="of each source and task (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default %(default)s)")
    parser.add_argument("--only", default="", help="sources whose name contains this")
    args = parser.parse_args()
    print(f"{'source':22s} {'task':11s} {'success':>8s} {'ticks':>7s} {'touched':>8s}  by rule, of 1000 ticks")
    for name, campaign in campaigns():
        if args.only not in name:
            continue
        results = list(run_campaign(campaign, range(8000, 8000 + args.episodes), args.jobs))
        rules: Counter[str] = Counter()
        for result in results:
            rules.update({code: n for code, n in result.rules.items() if code not in WAITING})
        ticks, touched = sum(r.ticks for r in results), sum(rules.values())
        done = f"{sum(r.success for r in results)}/{len(results)}"
        by_rule = ", ".join(f"{code} {1000 * n / ticks:.2f}" for code, n in rules.most_common())
        row = f"{name:22s} {campaign.task:11s} {done:>8s} {ticks:7d} {touched / ticks:8.2%}"
        print(f"{row}  {by_rule or 'nothing'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
