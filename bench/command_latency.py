"""From a tick of the supervisor to its command at the robot's side, beside a node that passes proposals on unseen.

    python bench/command_latency.py --seconds 20 --turns 3

The mock robot and `pid`, which moves to and fro, run live on ROS. In turns, either the safety supervisor writes
joint_command or a node of the same kind (same tick loop, same phase in the period, same inbox) that judges nothing.
Each command is stamped as its tick begins, so its age on arrival is the verdict and the way through ROS. The ratio of
the two is what the supervisor adds; times are from the same run only.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from so_arm_policy.ros import environment

environment.prepare()

import numpy as np  # noqa: E402
import rclpy  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import HistoryPolicy, QoSProfile  # noqa: E402
from rclpy.signals import SignalHandlerOptions  # noqa: E402
from so_arm_policy.msg import JointCommand  # noqa: E402

from so_arm_policy.core.errors import DeviceError, SoArmError  # noqa: E402
from so_arm_policy.core.ticks import Tick  # noqa: E402
from so_arm_policy.core.values import MotorCommand  # noqa: E402
from so_arm_policy.robot.description import load_robot  # noqa: E402
from so_arm_policy.ros import convert, topics  # noqa: E402
from so_arm_policy.ros.domain import own_domain  # noqa: E402
from so_arm_policy.ros.environment import ros_environment  # noqa: E402
from so_arm_policy.ros.executor import Spinner  # noqa: E402
from so_arm_policy.ros.run import run_node  # noqa: E402
from so_arm_policy.ros.sole_writer import SUPERVISOR  # noqa: E402
from so_arm_policy.ros.stack import stack  # noqa: E402
from so_arm_policy.ros.stack_options import StackOptions  # noqa: E402
from so_arm_policy.ros.tick_node import SUPERVISOR_PHASE, TickNode, TickNodeConfig  # noqa: E402
from so_arm_policy.ros.up import Stack  # noqa: E402
from so_arm_policy.safety.inbox import Inbox  # noqa: E402

READY_S, SETTLE_S = 60.0, 2.0
GOAL_S, SWING_RAD = 1.5, 0.4
SUPERVISED, PASSED_ON = "safety_supervisor", "passed on unseen"
DEEP = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=200)  # nothing that arrives while this process is late is lost


class PassOnNode(TickNode[TickNodeConfig]):
    """Writes what `pid` proposes as joint_command, on the supervisor's ticks."""

    phase = SUPERVISOR_PHASE

    def __init__(self) -> None:
        """Raises ConfigError."""
        super().__init__("pass_on", TickNodeConfig)
        self._inbox = Inbox(("pid",))
        self._commands = self.speak(topics.JOINT_COMMAND)
        self.listen(topics.proposal("pid"), self._on_proposal)

    def tick(self, tick: Tick) -> None:
        """Pass on."""
        now_ns = self.now_ns()
        newest = self._inbox.take(True).get("pid")
        if newest is not None:
            command = MotorCommand(newest.q)
            self._commands.publish(convert.motor_command_msg(self.robot, now_ns, command, f"{SUPERVISOR}none"))

    def _on_proposal(self, msg: JointCommand) -> None:
        self._inbox.put("pid", convert.proposal(msg, time.monotonic_ns()))


class Listener(Node):
    """Sends `pid` to and fro and keeps the age of each command on arrival. ages_ns: of those since it was emptied."""

    def __init__(self) -> None:
        """Subscribe."""
        super().__init__("bench_command_latency")
        self._robot, self._way = load_robot("so101"), 1.0
        self.ages_ns: list[int] = []
        self._goals = self.create_publisher(topics.PID_GOAL.type, topics.PID_GOAL.name, topics.PID_GOAL.qos)
        self.create_subscription(topics.JOINT_COMMAND.type, topics.JOINT_COMMAND.name, self._on_command, DEEP)
        self.create_timer(GOAL_S, self._swing)

    def _swing(self) -> None:
        self._way = -self._way
        goal = self._robot.home.copy()
        goal[0] += self._way * SWING_RAD
        self._goals.publish(convert.joint_state(self._robot, time.time_ns(), goal))

    def _on_command(self, msg: Any) -> None:
        self.ages_ns.append(time.time_ns() - convert.stamp_ns(msg.header.stamp))


@contextmanager
def running(judged: bool) -> Iterator[None]:
    """Run robot, source and one of the two writers."""
    specs = stack(StackOptions(robot="mock", cameras="none", control_source="pid"))
    log = Path("out") / "bench_command_latency.log"
    log.parent.mkdir(exist_ok=True)
    wanted = [spec for spec in specs if judged or spec.name != SUPERVISED]
    with log.open("a") as file, Stack(wanted, lambda node, line: print(f"{node} | {line}", file=file)) as nodes:
        command = [sys.executable, __file__, "--pass-on"]
        other = None if judged else subprocess.Popen(command, stdout=file, stderr=file, env=ros_environment())
        try:
            nodes.poll()
            yield
        finally:
            if other is not None:
                other.terminate()
                other.wait(timeout=10.0)


def one_turn(listener: Listener, judged: bool, seconds: float) -> list[int]:
    """Return the ages of the commands that came in `seconds`, ns. Raises DeviceError."""
    with running(judged):
        listener.ages_ns = []
        deadline = time.monotonic() + READY_S
        while not listener.ages_ns:
            if time.monotonic() > deadline:
                raise DeviceError(f"stack: got no command for {READY_S:.0f} s (out/bench_command_latency.log)")
            time.sleep(0.1)
        time.sleep(SETTLE_S)
        listener.ages_ns = []
        time.sleep(seconds)
        return listener.ages_ns


def print_table(ages: dict[str, list[int]]) -> None:
    """Print one line for each writer, and the ratios."""
    print("age of joint_command on arrival, us: from the beginning of the tick, through verdict and ROS")
    print(f"{'':20} {'commands':>9} {'p50':>9} {'p99':>9} {'p99.9':>9} {'max':>9}")
    found = {}
    for name, values in ages.items():
        found[name] = np.percentile(values, [50, 99, 99.9, 100]) / 1000
        print(f"{name:20} {len(values):9d} " + " ".join(f"{value:9.1f}" for value in found[name]))
    print(f"{'ratio':20} {'':9} " + " ".join(f"{r:9.2f}" for r in found[SUPERVISED] / found[PASSED_ON]))


def main() -> int:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each turn (default %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="of each writer (default %(default)s)")
    parser.add_argument("--pass-on", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not (args.seconds > 0.0 and args.turns > 0):
        parser.error(f"got {args.turns} turns of {args.seconds} s, expected more than none of each")
    if args.pass_on:
        run_node(PassOnNode)
    ages: dict[str, list[int]] = {SUPERVISED: [], PASSED_ON: []}
    with own_domain():
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        listener = Listener()
        spinner = Spinner(listener)
        spinner.start()
        try:
            for _ in range(args.turns):
                for name in ages:
                    ages[name] += one_turn(listener, name == SUPERVISED, args.seconds)
        except SoArmError as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            spinner.stop()
            listener.destroy_node()
            rclpy.try_shutdown()
    print_table(ages)
    return 0


if __name__ == "__main__":
    sys.exit(main())
