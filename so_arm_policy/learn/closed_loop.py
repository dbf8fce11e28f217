"""How well a policy in training does: it acts in simulation now and then, and the best is kept."""

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from so_arm_policy.evaluate.campaign import Campaign, run_campaign
from so_arm_policy.policy.manifest import Manifest, read_manifest, write_manifest

FIRST_SEED = 90_000  # from here on: neither trained on nor published


@dataclass(frozen=True)
class ClosedLoop:
    """Lets candidates do `tasks` and keeps the best one in `folder`; of equals the latest."""

    tasks: tuple[str, ...]
    folder: Path
    jobs: int
    episodes: int = 20

    @property
    def candidate(self) -> Path:
        """Where the bundle to be judged must lie."""
        return self.folder.with_name("candidate")

    def judge(self) -> dict[str, float]:
        """Let the candidate act; keep it when none was better in the mean. Returns the share of successes by task."""
        seeds = range(FIRST_SEED, FIRST_SEED + self.episodes)
        rates = {}
        for task in self.tasks:
            campaign = Campaign(task=task, bundle=str(self.candidate), all_objects=True)
            results = run_campaign(campaign, seeds, self.jobs)
            rates[task] = sum(result.success for result in results) / self.episodes
        rate = sum(rates.values()) / len(rates)
        best = self.folder.with_suffix(".json")
        if not self.folder.exists() or not best.exists() or rate >= json.loads(best.read_text())["success"]:
            shutil.rmtree(self.folder, ignore_errors=True)
            os.replace(self.candidate, self.folder)
            best.write_text(json.dumps({"success": rate}))
        return rates

    def keep_best(self, out: Path) -> Manifest:
        """Put the best candidate in the place of the last one, the bundle at `out`, whose figures it takes over."""
        last, best = read_manifest(out), read_manifest(self.folder)
        shutil.rmtree(out)
        shutil.copytree(self.folder, out)
        manifest = replace(best, training={**last.training, **best.training})
        write_manifest(out, manifest)
        return manifest
