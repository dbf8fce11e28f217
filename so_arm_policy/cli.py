"""The command `so-arm`: a table of sub-commands, each a module that is imported only when it is asked for."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from so_arm_policy import __version__
from so_arm_policy.core.errors import SoArmError
from so_arm_policy.ros import environment


@dataclass(frozen=True)
class Command:
    """Where a sub-command lives. The module offers `configure(parser)` and `run(args) -> int`, the exit code."""

    module: str
    help: str


COMMANDS = {
    "demo": Command("so_arm_policy.ros.demo_command", "run the full stack in simulation and report on it"),
    "up": Command("so_arm_policy.ros.up_command", "start the stack as processes and keep it running"),
    "tell": Command("so_arm_policy.ros.tell_command", "give a running stack an instruction"),
    "record": Command("so_arm_policy.ros.record_command", "record a running stack to a bag"),
    "record-episodes": Command(
        "so_arm_policy.ros.record_episodes_command", "record demonstrations, a bag for each, until there are enough"
    ),
    "replay": Command("so_arm_policy.ros.replay_command", "publish a bag at its recorded times"),
    "safety": Command("so_arm_policy.ros.safety_command", "stop a running arm, reset it, choose its source"),
    "teleop": Command("so_arm_policy.ros.teleop_command", "let a running arm follow its leader, or stay"),
    "eval": Command("so_arm_policy.evaluate.eval_command", "measure a policy's success on many seeds"),
    "compare": Command("so_arm_policy.evaluate.compare_command", "compare policies and hand-crafted controllers"),
    "compare-ros": Command("so_arm_policy.ros.live_compare_command", "compare them through the live graph, too"),
    "evaluate-bag": Command(
        "so_arm_policy.evaluate.evaluate_bag_command", "run a bag through a policy and the supervisor"
    ),
    "calibrate": Command(
        "so_arm_policy.evaluate.calibrate_command", "let a policy's monitors learn what success is like"
    ),
    "calibrate-arm": Command("so_arm_policy.robot.calibrate_arm_command", "make LeRobot's calibration of an SO-101"),
    "calibrate-camera": Command(
        "so_arm_policy.evaluate.calibrate_camera_command", "find a camera's lens, or its place on the hand"
    ),
    "tune": Command("so_arm_policy.evaluate.tune_command", "find the gains of a hand-crafted controller"),
    "locate-camera": Command(
        "so_arm_policy.evaluate.locate_camera_command", "find where a camera stands, from a picture of tags"
    ),
    "urdf": Command("so_arm_policy.evaluate.urdf_command", "write the robot as URDF, or one arm as a xacro macro"),
    "isaac": Command("so_arm_policy.evaluate.isaac_command", "write the robot, the scene and the graph for Isaac Sim"),
    "faults": Command(
        "so_arm_policy.evaluate.faults_command", "inject faults on moving arms and judge what reaches them"
    ),
    "faults-live": Command("so_arm_policy.ros.live_faults_command", "break processes of a running stack in simulation"),
    "collect": Command("so_arm_policy.learn.collect_command", "record demonstrations of the scripted expert"),
    "train": Command("so_arm_policy.learn.train_command", "train a policy and export its bundle"),
    "imitate": Command("so_arm_policy.learn.imitate_command", "train a policy on LeRobot datasets of an arm"),
    "convert": Command("so_arm_policy.learn.convert_command", "make a LeRobot dataset of bags, or bags of a dataset"),
    "import-lerobot": Command(
        "so_arm_policy.learn.import_lerobot_command", "make a bundle of a policy that LeRobot trained"
    ),
    "rephrase": Command("so_arm_policy.learn.rephrase_command", "teach bundles more phrasings, and nothing else"),
    "cold-start": Command(
        "so_arm_policy.evaluate.cold_start_command", "measure how long a policy takes to its first inference"
    ),
    "models": Command("so_arm_policy.evaluate.models_command", "write the table of the shipped bundles"),
    "export": Command("so_arm_policy.learn.export_command", "make a bundle of a trained run, or its int8 graph"),
    "scaling": Command("so_arm_policy.learn.scaling_command", "train a grid of sizes and fit the law of their losses"),
    "learning-curve": Command(
        "so_arm_policy.learn.learning_curve_command", "measure success against the number of demonstrations"
    ),
}

# With this flag, a command of evaluate is another one, of the layer above.
ON_ROS = (("faults", "--live", "faults-live"), ("compare", "--ros", "compare-ros"))

LEARN_HINT = "install it with `make learn`, or pip install -r requirements/learn.txt"
PRETRAINED_HINT = "install it with pip install -r requirements/pretrained.txt"
LEROBOT_HINT = "make an environment that has it, as docs/lerobot.md says, and run the command there"
ROS_HINT = "source a ROS 2 Jazzy, or run `make setup` and use .venv/bin/so-arm"
# What a machine may lack by choice. Any other missing module is a broken installation and shows its traceback.
OPTIONAL_MODULES = {
    **dict.fromkeys(("torch", "onnx", "onnxscript", "accelerate", "tensorboard", "av"), LEARN_HINT),
    "transformers": PRETRAINED_HINT,
    **dict.fromkeys(("lerobot", "diffusers"), LEROBOT_HINT),
    "rclpy": ROS_HINT,
}

FAILED = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return its exit code. argv: what follows the program's name; None takes it from sys."""
    if argv is None:
        environment.prepare()
        argv = sys.argv[1:]
        if not _trains(argv):
            environment.bind_threads()
    try:
        return _run(argv)
    except SoArmError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in OPTIONAL_MODULES:
            raise
        return _fail(f"so-arm {argv[0]} needs '{missing}', which is not installed: {OPTIONAL_MODULES[missing]}")
    except KeyboardInterrupt:
        return INTERRUPTED


def _trains(argv: Sequence[str]) -> bool:
    """Whether it is a command that uses all cores for one computation."""
    return bool(argv) and argv[0] in COMMANDS and COMMANDS[argv[0]].module.startswith("so_arm_policy.learn.")


def _run(argv: Sequence[str]) -> int:
    for command, flag, instead in ON_ROS:
        if argv[:1] == [command] and flag in argv:
            argv = [instead, *(a for a in argv[1:] if a != flag)]
    chosen = argv[0] if argv and argv[0] in COMMANDS else None
    module = importlib.import_module(COMMANDS[chosen].module) if chosen else None
    parser = _build_parser(chosen, module)
    args = parser.parse_args(argv)
    if module is None:
        parser.print_help()
        return FAILED
    return int(module.run(args))


def _build_parser(chosen: str | None, module: ModuleType | None) -> argparse.ArgumentParser:
    """Parser that knows every sub-command by name, and the options of the chosen one."""
    parser = argparse.ArgumentParser(prog="so-arm", description="Learned and hand-crafted control of SO-ARM101 arms.")
    parser.add_argument("--version", action="version", version=f"so-arm {__version__}")
    commands = parser.add_subparsers(metavar="command", title="commands")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=command.help,
            description=command.help[0].upper() + command.help[1:] + ".",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        if module is not None and name == chosen:
            module.configure(sub)
    return parser


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
