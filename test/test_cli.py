import os
import subprocess
import sys
from types import ModuleType

import pytest

from so_arm_policy import cli
from so_arm_policy.core.errors import ConfigError


@pytest.fixture
def command(monkeypatch):
    """Adds the sub-command `fake`, whose `run` the test sets."""
    module = ModuleType("fake_command")
    module.configure = lambda parser: parser.add_argument("--number", type=int, default=3)
    module.run = lambda args: args.number
    monkeypatch.setitem(sys.modules, "fake_command", module)
    monkeypatch.setitem(cli.COMMANDS, "fake", cli.Command("fake_command", "a stand-in"))
    return module


def raiser(error):
    def run(args):
        raise error

    return run


def test_options_reach_the_command_and_its_result_is_the_exit_code(command):
    assert cli.main(["fake"]) == 3
    assert cli.main(["fake", "--number", "0"]) == 0


def test_named_errors_become_one_line(command, capsys):
    command.run = raiser(ConfigError("robot 'so999': expected one of so101, so101_bimanual"))
    assert cli.main(["fake"]) == 2
    assert capsys.readouterr().err == "error: robot 'so999': expected one of so101, so101_bimanual\n"


def test_a_missing_optional_library_is_one_line_that_says_what_to_install(command, capsys):
    command.run = raiser(ModuleNotFoundError("No module named 'torch'", name="torch"))
    assert cli.main(["fake"]) == 2
    assert capsys.readouterr().err == f"error: so-arm fake needs 'torch', which is not installed: {cli.LEARN_HINT}\n"


def test_a_missing_module_of_our_own_is_not_hidden(command):
    command.run = raiser(ModuleNotFoundError("No module named 'so_arm_policy.gone'", name="so_arm_policy.gone"))
    with pytest.raises(ModuleNotFoundError, match="gone"):
        cli.main(["fake"])


def test_an_interrupt_ends_quietly(command):
    command.run = raiser(KeyboardInterrupt())
    assert cli.main(["fake"]) == 130


def test_no_command_prints_the_help_and_fails(capsys):
    assert cli.main([]) == 2
    shown = capsys.readouterr().out
    assert all(name in shown for name in cli.COMMANDS)


def test_an_unknown_command_names_the_known_ones(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["dance"])
    assert stop.value.code == 2
    assert "eval" in capsys.readouterr().err


THREADS = """
import os, sys
from so_arm_policy import cli
sys.argv = ["so-arm", *{words}]
cli._run = lambda argv: print(os.environ.get("OMP_NUM_THREADS"), os.environ.get("OPENBLAS_NUM_THREADS"))
cli.main()
print("numpy" in sys.modules)
"""


@pytest.mark.parametrize(
    ("words", "given", "expected"),
    [(["compare"], {}, "1 1"), (["eval"], {"OMP_NUM_THREADS": "3"}, "3 1"), (["train"], {}, "None None")],
)
def test_numerics_are_done_on_one_thread_but_for_training(words, given, expected):
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    command = [sys.executable, "-c", THREADS.format(words=words)]
    done = subprocess.run(command, env=kept | given, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == [expected, "False"]


def test_help_imports_no_heavy_library():
    code = (
        "import sys; from so_arm_policy import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'rclpy', 'mujoco', 'onnxruntime', 'cv2'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.splitlines()[-1] == "[]"
