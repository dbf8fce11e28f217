"""The safety supervisor as a node: the only writer of joint_command."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rclpy.clock import Clock, ClockType

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.ticks import Tick
from so_arm_policy.core.values import MotorCommand, MotorSample
from so_arm_policy.msg import MotorStates
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.bag_folders import home
from so_arm_policy.ros.black_box import BlackBox
from so_arm_policy.ros.decisions import DecisionFile
from so_arm_policy.ros.node import age_ms
from so_arm_policy.ros.params import parameter, safety_parameter
from so_arm_policy.ros.proposal_inbox import ProposalInbox
from so_arm_policy.ros.rules import read_rules
from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.sole_writer import SoleWriter
from so_arm_policy.ros.status import StatusWriter
from so_arm_policy.ros.supervisor_services import SupervisorServices
from so_arm_policy.ros.tick_node import SUPERVISOR_PHASE, TickNode, TickNodeConfig
from so_arm_policy.ros.traces import SupervisorTrace
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import Mode, TickInput
from so_arm_policy.sim.clearance import Clearance

FOLLOWING = (Mode.ACTIVE, Mode.FALLBACK)


@dataclass(frozen=True, kw_only=True)
class SafetySupervisorConfig(TickNodeConfig):
    """Parameters of the supervisor node."""

    source: str = parameter("system1", "source selected at the start; safety/select changes it")
    safety: str = safety_parameter()
    start_stopped: bool = parameter(False, "begin with the emergency stop latched, until a person resets it")
    decisions: str = parameter("", "file that keeps a stop and the selected source over a restart; empty: forgotten")
    black_box: str = parameter(
        "", "folder of the bags written when a fault latches; empty: so_arm_policy in $ROS_HOME, or else in ~/.ros"
    )


class SafetySupervisorNode(TickNode[SafetySupervisorConfig]):
    """Hears every source and the joints, judges on every tick, writes the command and says why."""

    phase = SUPERVISOR_PHASE

    def __init__(self) -> None:
        """Raises ConfigError."""
        super().__init__("safety_supervisor", SafetySupervisorConfig)
        rules = read_rules(self.config.safety)
        if self.config.start_stopped and rules.estop_limp:
            raise ConfigError("start_stopped: got true with estop_limp, expected one of them: the arm would fall")
        clearance = Clearance(self.robot, rules.keep_outs.all, rules.looking_m)
        self._supervisor = Supervisor(rules, self.robot, self.config.source, clearance)
        folder = Path(self.config.black_box).expanduser() if self.config.black_box else home()
        self._black_box = BlackBox(self.robot, folder, namespace=self.get_namespace())
        self._bag = ""
        self._complained = {"black_box": "", "decisions": ""}
        self._motors: MotorSample | None = None
        self._commands = self.speak(topics.JOINT_COMMAND)
        self._writer = SoleWriter(self, rules.sources)
        self._status = StatusWriter(self.speak(topics.SAFETY_STATUS))
        self._trace = SupervisorTrace(self.speak(topics.SAFETY_TICK))
        self.listen(topics.JOINT_STATES, self.on_joint_states)
        self.listen(topics.MOTOR_STATES, self._on_motor_states)
        self._proposals = ProposalInbox(self, rules.sources)
        self._asked = SupervisorServices(self)
        self._decisions = DecisionFile(self.config.decisions, self.config.source, rules.sources)
        self._began = self._asked.begin(self._decisions.recall(), self.config.source, self.config.start_stopped)
        self.create_timer(1.0, self._look_around, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def tick(self, tick: Tick) -> None:
        """Judge and command."""
        requests = self._asked.take()
        now_ns = self.now_ns()
        before = self._supervisor.mode
        given = TickInput(
            now_ns=tick.now_ns,
            ros_now_ns=now_ns,
            sample=self.sample,
            proposals=self._proposals.take(before in FOLLOWING),
            estop=next((r.estop for r in requests if r.estop), None),
            reset=any(r.reset for r in requests),
            select=next((r.select for r in reversed(requests) if r.select is not None), None),
            faults=self._writer.faults,
            motors=self._motors,
        )
        verdict = self._supervisor.step(given)
        if verdict.command is not None:
            command = MotorCommand(verdict.command, verdict.limp)
            self._commands.publish(convert.motor_command_msg(self.robot, now_ns, command, self._writer.signature))
            self.counts["joint_command"] += 1
        self._decisions.keep(self._supervisor.state)
        self._black_box.note(given, verdict)
        if verdict.mode is Mode.ESTOP and before is not Mode.ESTOP and verdict.text != self._began:
            self._bag = str(self._black_box.save(verdict.code))
        self._status.update(self._supervisor, verdict, now_ns, self._bag)
        self._asked.answer(requests, verdict.refused)
        self._trace.say(given, verdict, self._supervisor.source)

    def stop(self) -> None:
        """End the ticks, and write what waits to be written."""
        super().stop()
        self._black_box.close(timeout_s=1.0)

    def facts(self) -> dict[str, object]:
        """Return what was judged, and how old its grounds are."""
        sample = self.sample
        return {
            **super().facts(),
            "mode": self._supervisor.mode.name,
            "source": self._supervisor.source,
            "passed": self._supervisor.passed,
            "black_box": self._black_box.written or "",
            **{f"verdicts: {code}": n for code, n in self._supervisor.counts.items() if n},
            "joint_states_age_ms": age_ms(time.monotonic_ns(), sample.received_ns if sample else None),
            **self._proposals.facts(),
        }

    def _on_motor_states(self, msg: MotorStates) -> None:
        self._motors = convert.motor_sample(msg, self.robot, time.monotonic_ns())

    def _look_around(self) -> None:
        """Complain of what is wrong beside the ticks: other writers, and files that cannot be written."""
        self._writer.check()
        for fault in self._writer.faults:
            self.report("publishers", fault.text)
        for name, failure in (("black_box", self._black_box.failure), ("decisions", self._decisions.failure)):
            if failure != self._complained[name]:
                self._complained[name] = failure
                if failure:
                    self.report(name, failure)


def main() -> int:
    """Run the node."""
    return run_node(SafetySupervisorNode)


if __name__ == "__main__":
    sys.exit(main())
