"""All tests in two processes at once, of which one begins with those of running nodes, which mostly wait.

What the first says is shown as it comes, what the second says after that. The last line has the sum, in pytest's words.
"""

import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

PARTS = (["--ignore=test/ros", "--ignore=test/learn"], ["test/ros", "test/learn"])  # about as long as each other
COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed|deselected)")


def counts(output: str) -> Counter[str]:
    """Return what the closing line of a run counts; empty where it has none."""
    closing = [line for line in output.splitlines() if re.match(r"=+ .* in \d", line)]
    found = COUNT.findall(closing[-1]) if closing else []
    return Counter({what.removesuffix("s") if what == "errors" else what: int(number) for number, what in found})


def main() -> int:
    """Run both; 0 when both are well."""
    began = time.monotonic()
    logs = [Path("build") / f"tests-{i}.log" for i in range(len(PARTS))]
    logs[0].parent.mkdir(exist_ok=True)
    runs = []
    for arguments, log in zip(PARTS, logs, strict=True):
        with log.open("w") as file:
            command = [sys.executable, "-u", "-m", "pytest", *arguments]
            runs.append(subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL))
    try:
        for run, log in zip(runs, logs, strict=True):
            follow(run, log)
    finally:
        for run in runs:
            run.terminate()
    codes = [run.wait() for run in runs]
    sums = sum((counts(log.read_text()) for log in logs), Counter())
    said = ", ".join(f"{number} {what}" for what, number in sums.items()) or "no tests ran"
    if any(codes) and not sums["failed"] + sums["error"]:
        said += f", exit codes {codes}"
    say(f"\n===== {said} in {time.monotonic() - began:.2f}s =====\n")
    return max(codes, key=abs)


def say(text: str) -> None:
    """Show `text` at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def follow(run: subprocess.Popen[bytes], log: Path) -> None:
    """Show what a run writes into its log, until it ends."""
    with log.open(errors="replace") as file:
        ended = False
        while not ended:
            ended = run.poll() is not None
            say(file.read())
            if not ended:
                time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
