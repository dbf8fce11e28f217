"""The table of live faults, in the order in which they are run: those of one rig share its stack."""

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.ros import live_fault_cases as faults
from so_arm_policy.ros import topics
from so_arm_policy.ros.live_fault_cases import (
    ALL_CLOCK,
    CLOCK,
    CONTEXT_S,
    FLOOD_HZ,
    GRAPH_S,
    OFTEN_HZ,
    POLICY,
    TELEOP,
    After,
    Expect,
    LiveCase,
)
from so_arm_policy.ros.sole_writer import SUPERVISOR

_PID = topics.proposal("pid")

LIVE_CASES: tuple[LiveCase, ...] = (
    LiveCase(name="source killed", text="SIGKILL to the selected source", fault=faults.killed("pid")),
    LiveCase(name="source frozen", text="SIGSTOP to the selected source, then SIGCONT", fault=faults.frozen("pid")),
    LiveCase(name="supervisor killed", text="SIGKILL to the supervisor", fault=faults.killed("safety_supervisor")),
    LiveCase(
        name="supervisor frozen",
        text="SIGSTOP to the supervisor, then SIGCONT",
        fault=faults.frozen("safety_supervisor"),
    ),
    LiveCase(
        name="robot frozen",
        text="SIGSTOP to the robot's process, then SIGCONT before its motors count as silent",
        fault=faults.frozen("simulator"),
        bound_s=0.5,
        lasts_s=0.8,
    ),
    LiveCase(
        name="robot frozen for long",
        text="the same for longer than motors_timeout_s (plant.report)",
        fault=faults.frozen("simulator"),
    ),
    LiveCase(
        name="robot killed",
        text="SIGKILL to the robot's process; it comes back with its arm at home",
        fault=faults.killed("simulator"),
        after=None,
    ),
    LiveCase(
        name="second writer, silent",
        text="another node offers to publish joint_command",
        fault=faults.says(topics.JOINT_COMMAND, None, CONTROL_HZ),
        bound_s=GRAPH_S,
    ),
    LiveCase(
        name="second writer, NaN",
        text="another node publishes joint_command of NaN at 120 Hz",
        fault=faults.says(topics.JOINT_COMMAND, faults.nothing_finite, CONTROL_HZ),
    ),
    LiveCase(
        name="second writer, home",
        text="another node commands the home pose at 960 Hz, past the supervisor",
        fault=faults.says(topics.JOINT_COMMAND, lambda world, i: world.marked(world.robot.home), OFTEN_HZ),
    ),
    LiveCase(
        name="second supervisor",
        text="another one commands the home pose at 960 Hz, under the same name and with a signature of its own",
        fault=faults.says(
            topics.JOINT_COMMAND,
            lambda world, i: world.marked(world.robot.home, sign=SUPERVISOR),
            OFTEN_HZ,
            name="safety_supervisor",
        ),
    ),
    LiveCase(
        name="impostor",
        text="another node proposes as pid, in good form, at 120 Hz",
        fault=faults.says(_PID, faults.proposes("pid", faults.aside), CONTROL_HZ),
        bound_s=GRAPH_S,
    ),
    LiveCase(
        name="impostor, same name",
        text="another node, named pid too, proposes as pid at 120 Hz",
        fault=faults.says(_PID, faults.proposes("pid", faults.aside), CONTROL_HZ, name="pid"),
        expect=Expect.LIMITS,
    ),
    LiveCase(
        name="unknown source",
        text="another node proposes on proposal/intruder at 120 Hz",
        fault=faults.says(topics.proposal(faults.INTRUDER), faults.proposes(faults.INTRUDER, faults.aside), CONTROL_HZ),
        expect=Expect.GOES_ON,
        bound_s=2.0,
    ),
    LiveCase(
        name="flood of garbage",
        text="another node sends 2000 bad proposals a second",
        fault=faults.says(_PID, faults.garbage, FLOOD_HZ),
        bound_s=GRAPH_S,
    ),
    LiveCase(
        name="flood of proposals",
        text="another node sends 2000 proposals in good form a second",
        fault=faults.says(_PID, faults.proposes("pid", faults.aside), FLOOD_HZ),
        bound_s=GRAPH_S,
    ),
    LiveCase(
        name="flood, same name",
        text="another node, named pid too, sends 2000 proposals in good form a second",
        fault=faults.says(_PID, faults.proposes("pid", faults.aside), FLOOD_HZ, name="pid"),
        expect=Expect.LIMITS,
    ),
    LiveCase(
        name="flood of NaN states",
        text="another node sends 2000 joint_states of NaN a second",
        fault=faults.says(topics.JOINT_STATES, faults.nothing_finite, FLOOD_HZ),
        expect=Expect.LIMITS,
    ),
    LiveCase(name="e-stop", text="safety/estop at speed", fault=faults.pressed, after=After.RESET),
    LiveCase(
        name="reset while moving",
        text="safety/estop, and safety/reset before the arm rests",
        fault=faults.reset_too_early,
        after=After.RESET,
    ),
    LiveCase(
        name="source killed in e-stop",
        text="safety/estop, and SIGKILL to the source meanwhile",
        fault=faults.pressed_and_source_killed,
        after=After.RESET,
    ),
    LiveCase(
        name="old motion after reset",
        text="safety/estop, safety/reset, then what the source wanted before, stamped anew",
        fault=faults.old_motion_after_reset,
        rig=TELEOP,
    ),
    LiveCase(
        name="NaN proposals",
        text="one joint of every proposal is NaN",
        fault=faults.spoilt(faults.not_finite),
        rig=TELEOP,
    ),
    LiveCase(
        name="zero stamps",
        text="every proposal is stamped 0",
        fault=faults.spoilt(faults.stamped(lambda now_ns: 0)),
        rig=TELEOP,
    ),
    LiveCase(
        name="future stamps",
        text="every proposal is stamped 1 s ahead",
        fault=faults.spoilt(faults.stamped(lambda now_ns: now_ns + NS)),
        rig=TELEOP,
    ),
    LiveCase(
        name="past stamps",
        text="every proposal is stamped 1 s before",
        fault=faults.spoilt(faults.stamped(lambda now_ns: now_ns - NS)),
        rig=TELEOP,
    ),
    LiveCase(
        name="clock back", text="/clock, but not the robot's, goes back 1 s", fault=faults.clock(faults.back), rig=CLOCK
    ),
    LiveCase(
        name="clock ahead",
        text="/clock, but not the robot's, jumps ahead 5 s",
        fault=faults.clock(faults.ahead),
        rig=CLOCK,
    ),
    LiveCase(
        name="clock stands",
        text="/clock, but not the robot's, stands still",
        fault=faults.clock(faults.stands),
        rig=CLOCK,
    ),
    LiveCase(
        name="whole clock back",
        text="/clock of all, the robot too, goes back 1 s, then ahead 1 s",
        fault=faults.clock(faults.back),
        rig=ALL_CLOCK,
        expect=Expect.LIMITS,
    ),
    LiveCase(
        name="whole clock ahead",
        text="/clock of all, the robot too, jumps ahead 5 s, then back 5 s",
        fault=faults.clock(faults.ahead),
        rig=ALL_CLOCK,
        expect=Expect.LIMITS,
    ),
    LiveCase(
        name="whole clock stands",
        text="/clock of all, the robot too, stands still, then jumps ahead by as much",
        fault=faults.clock(faults.stands),
        rig=ALL_CLOCK,
    ),
    LiveCase(name="system1 killed", text="SIGKILL to System 1", fault=faults.killed("system1"), rig=POLICY),
    LiveCase(
        name="system1 frozen", text="SIGSTOP to System 1, then SIGCONT", fault=faults.frozen("system1"), rig=POLICY
    ),
    LiveCase(
        name="system2 killed", text="SIGKILL to System 2", fault=faults.killed("system2"), rig=POLICY, bound_s=CONTEXT_S
    ),
    LiveCase(
        name="system2 frozen",
        text="SIGSTOP to System 2, then SIGCONT",
        fault=faults.frozen("system2"),
        rig=POLICY,
        bound_s=CONTEXT_S,
    ),
    LiveCase(
        name="cameras frozen",
        text="SIGSTOP to both cameras, then SIGCONT",
        fault=faults.frozen("overhead_camera", "wrist_camera"),
        rig=POLICY,
        bound_s=CONTEXT_S,
    ),
)


def case_of(name: str) -> LiveCase:
    """Return a case by its name. Raises ConfigError."""
    found = next((case for case in LIVE_CASES if case.name == name), None)
    if found is None:
        raise ConfigError(f"--case: got {name!r}, expected one of {[case.name for case in LIVE_CASES]}")
    return found
