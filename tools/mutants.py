"""Mutation check of the safety supervisor: change the code in one place at a time and see whether a test notices.

`make mutants` runs it. Everything is made in build/mutants: copies of the package with the mutants in them, and what
was found so far. A run that was stopped goes on where it was. When code or tests have changed since, the mutants that
no test had noticed are tried again; remove the folder to try all of them.

mutmut makes the mutants; [tool.mutmut] in pyproject.toml says of which files and with which tests. Two things are done
differently here. Properties are mutated as well, which mutmut leaves out for their decorator. Text for people is left
out: every f-string, and every string with a space in it. No reason code holds a space, so those are mutated. What is
outside of functions (tables, defaults, the order of the rules) is not: tests of their values hold those.
"""
# ruff: noqa: T201

import ast
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import libcst as cst
import pytest
from _pytest.config import _prepareconfig
from mutmut import __main__ as mutmut
from mutmut.configuration import config
from mutmut.mutation import file_mutation
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import change_cwd, walk_mutatable_files
from mutmut.utils.format_utils import orig_function_and_class_names_from_key
from mutmut.workers import isolation
from mutmut.workers.isolation import ForkRunner

REPO = Path(__file__).resolve().parents[1]
FOLDER = REPO / "build" / "mutants"
LINKS = ("pyproject.toml", "so_arm_policy", "test", "config", "docs")
PROPERTIES = ("property", "cached_property")
LEAST_SHARE = 0.9
PYTEST_ARGS = ("--rootdir=.", "--maxfail=1", "--capture=no", "--tb=no")
TIMEOUT = 36  # mutmut's exit code for it
MUTANTS = Path("mutants")  # in FOLDER; mutmut chooses it


def main() -> int:
    """Run what has not been tried yet, print the table; 1 when fewer are killed than should be."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in LINKS:
        if not (FOLDER / name).exists():
            (FOLDER / name).symlink_to(REPO / name)
    os.chdir(FOLDER)
    mutate_properties()
    leave_texts_out()
    collect_once()
    try_survivors_again_after_changes()
    mutmut._run((), int(os.environ.get("JOBS") or os.cpu_count() or 1))
    return report()


def is_text(node: cst.CSTNode) -> bool:
    """Whether `node` is said to people only."""
    return isinstance(node, cst.FormattedString) or (isinstance(node, cst.SimpleString) and " " in node.value)


def leave_texts_out() -> None:
    """Make no mutants of texts."""
    visitor = file_mutation.MutationVisitor
    skip = visitor._skip_node_and_children

    def skip_texts_too(self: Any, node: cst.CSTNode) -> bool:
        return is_text(node) or skip(self, node)

    visitor._skip_node_and_children = skip_texts_too  # type: ignore[method-assign]


def is_property(node: cst.CSTNode) -> bool:
    """Whether `node` is a method with one decorator, that of a property."""
    return (
        isinstance(node, cst.FunctionDef)
        and len(node.decorators) == 1
        and isinstance(node.decorators[0].decorator, cst.Name)
        and node.decorators[0].decorator.value in PROPERTIES
    )


def mutate_properties() -> None:
    """Let mutmut mutate properties: the first method is the property that chooses, the mutants behind it are plain."""
    visitor = file_mutation.MutationVisitor
    skip, arrange = visitor._skip_node_and_children, file_mutation.function_trampoline_arrangement

    def skip_no_properties(self: Any, node: cst.CSTNode) -> bool:
        return not is_property(node) and skip(self, node)

    def arrange_properties(function: cst.FunctionDef, mutants: Iterable[Any], class_name: str | None) -> Any:
        before, nodes, after, names = arrange(function, mutants, class_name)
        if is_property(function):
            nodes = [nodes[0], *(cst.ensure_type(n, cst.FunctionDef).with_changes(decorators=[]) for n in nodes[1:])]
        return before, nodes, after, names

    visitor._skip_node_and_children = skip_no_properties  # type: ignore[method-assign]
    file_mutation.function_trampoline_arrangement = arrange_properties


class Tests:
    """All tests, collected once: each mutant is forked from here and runs those that reach its function."""

    def __init__(self) -> None:
        selection = config().pytest_add_cli_args_test_selection
        with change_cwd(MUTANTS), contextlib.redirect_stdout(Path(os.devnull).open("w")):
            self.config = _prepareconfig([*PYTEST_ARGS, *config().pytest_add_cli_args, *selection])
            self.config._do_configure()
            self.session = pytest.Session.from_config(self.config)
            self.config.hook.pytest_sessionstart(session=self.session)
            self.config.hook.pytest_collection(session=self.session)

    def run(self, tests: Sequence[str]) -> int:
        """Run `tests`, in their order, until one fails; returns the exit code. None runs for ever."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once; where it was forked from tidies up
        found = {item.nodeid: item for item in self.session.items}
        self.session.items = [found[test] for test in tests if test in found]
        self.config.pluginmanager.register(Limiter())
        with change_cwd(MUTANTS):
            try:
                self.config.hook.pytest_runtestloop(session=self.session)
            except pytest.Session.Failed:
                return 1
        return 1 if self.session.testsfailed else 0


class Limiter:
    """Ends a mutant whose test takes much longer than it should, by the time of this process: others may be busy.

    mutmut's own limit is of wall-clock time, and signals the number of a process that may have been another's since.
    """

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Called by pytest before each test."""
        signal.signal(signal.SIGVTALRM, lambda *_: os._exit(TIMEOUT))
        signal.setitimer(signal.ITIMER_VIRTUAL, 2.0 + 10.0 * state().duration_by_test[nodeid])


def collect_once() -> None:
    """Let mutmut collect the tests once, not once for each mutant, which would take longer than to run them."""
    startup, run_tests = ForkRunner.startup, PytestRunner.run_tests
    collected: list[Tests] = []

    def startup_with_tests(self: ForkRunner) -> None:
        collected.append(Tests())
        startup(self)

    def run(self: PytestRunner, *, mutant_name: str | None, tests: Iterable[str]) -> int:
        if mutant_name is None:
            return run_tests(self, mutant_name=None, tests=tests)
        return collected[0].run(list(tests))

    isolation.register_timeout = lambda pid, timeout_s: None
    ForkRunner.startup = startup_with_tests  # type: ignore[method-assign]
    PytestRunner.run_tests = run  # type: ignore[method-assign]


def try_survivors_again_after_changes() -> None:
    """Forget what was found of mutants that no test noticed, and which test runs which function."""
    files = sorted(p for top in ("so_arm_policy", "test", "config") for p in (REPO / top).rglob("*.[py][ya]*"))
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in files)).hexdigest()
    noted = Path("digest")
    if noted.exists() and noted.read_text() != digest:
        (MUTANTS / "mutmut-stats.json").unlink(missing_ok=True)
        shutil.rmtree(MUTANTS / "test", ignore_errors=True)  # mutmut copies anew, but removes nothing
        for meta in MUTANTS.rglob("*.meta"):
            data = json.loads(meta.read_text())
            codes = data["exit_code_by_key"]
            data["exit_code_by_key"] = {k: v if status_by_exit_code[v] == "killed" else None for k, v in codes.items()}
            meta.write_text(json.dumps(data))
    noted.write_text(digest)


def report() -> int:
    """Print the survivors and a table for each file."""
    rows, survivors = [], []
    for path in sorted(walk_mutatable_files()):
        meta = MUTANTS / f"{path}.meta"
        codes = json.loads(meta.read_text())["exit_code_by_key"] if meta.exists() else {}
        found = {name: status_by_exit_code[code] for name, code in codes.items()}
        if found:
            rows.append((path.name, Counter(found.values())))
        survivors += [(path, name, s) for name, s in found.items() if s not in ("killed", "timeout", "segfault")]
    for path, name, status in survivors:
        print(describe(path, name, "" if status == "survived" else f" ({status})"))
    rows.append(("total", sum((counts for _, counts in rows), Counter())))
    print(f"\n{'file':<16}{'mutants':>9}{'killed':>9}{'survived':>10}{'timeouts':>10}{'share':>9}")
    for name, counts in rows:
        print(table_row(name, counts))
    share = share_killed(rows[-1][1])
    print(f"\n{share:.1%} of the mutants were noticed, expected at least {LEAST_SHARE:.0%}")
    return 0 if share >= LEAST_SHARE else 1


def share_killed(counts: Counter[str]) -> float:
    """Return the share that a test noticed; one that runs for ever or crashes is noticed."""
    total = counts.total()
    return (counts["killed"] + counts["timeout"] + counts["segfault"]) / total if total else 0.0


def table_row(name: str, counts: Counter[str]) -> str:
    """Return one line of the table; crashes count as killed, mutants that no test runs as survivors."""
    killed, timeouts = counts["killed"] + counts["segfault"], counts["timeout"]
    survived = counts.total() - killed - timeouts
    return f"{name:<16}{counts.total():>9}{killed:>9}{survived:>10}{timeouts:>10}{share_killed(counts):>9.1%}"


def describe(path: Path, name: str, note: str) -> str:
    """Return file, line and change of one mutant."""
    diff = get_diff_for_mutant(name, path=path).splitlines()[2:]
    line, old, new = def_line(path, name), [], []
    for text in diff:
        if text.startswith("@@") and not old:
            line += int(text.split()[1].lstrip("-").split(",")[0]) - 1
        elif text.startswith("-"):
            old.append(text[1:].strip())
        elif text.startswith("+"):
            new.append(text[1:].strip())
        elif not old:
            line += 1
    return f"{path.name}:{line}: {shortened(old)}  ->  {shortened(new)}{note}"


def shortened(lines: Sequence[str]) -> str:
    """Return the lines as one of at most 100 characters."""
    text = " ".join(lines)
    return text if len(text) <= 100 else text[:97] + "..."


def def_line(path: Path, name: str) -> int:
    """Return the line of `def` of the function that a mutant is of."""
    function, owner = orig_function_and_class_names_from_key(name)
    tree = ast.parse(path.read_text())
    nodes = tree.body
    if owner:
        nodes = next(n.body for n in tree.body if isinstance(n, ast.ClassDef) and n.name == owner)
    return next(n.lineno for n in nodes if isinstance(n, ast.FunctionDef) and n.name == function)


if __name__ == "__main__":
    sys.exit(main())
