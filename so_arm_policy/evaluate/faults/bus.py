"""Faults of the servo bus, put under a moving arm: what the driver says, and what the arm does.

The real driver and Feetech's SDK speak over a pseudo-terminal to simulated servos that move the MuJoCo arm, in lockstep
and without a supervisor: whoever commands goes on as if nothing had happened.
"""

import math
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import SoArmError
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.robot.description import load_robot
from so_arm_policy.robot.feetech import faults
from so_arm_policy.robot.feetech.arm import ArmPort
from so_arm_policy.robot.feetech.calibration import ArmCalibration, load_calibration, read_calibration
from so_arm_policy.robot.feetech.driver import DriverSettings, FeetechDriver
from so_arm_policy.sim.servo_bus.arms import ServoedArms
from so_arm_policy.sim.servo_bus.wire import Wire
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks import make_task

ROBOT, TASK = "so101", "reach"
ONSET, WATCHED = 120, 90  # ticks until the fault, and afterwards
SWING_RAD, SWING_S = 0.6, 2.0  # of the pan joint, which moves fastest at the onset
PATIENCE_S = 0.05  # simulated servos may be kept waiting by other work on the machine
REACTION_TICKS = 8  # latest naming of a fault: what is lost six times in a row, and a tick on either side
REST_RAD_S = 0.05
BEYOND_RAD = 0.1  # how far the arm may go on: what it lags behind its last goal, and a packet or two


@dataclass(frozen=True, kw_only=True)
class BusCase:
    """One fault. words: for SimBus.inject; unplugs: the adapter instead; silence: of the commands.

    code: what the driver must say, "" for a fault that it must bear. falls: the servos lose their torque by it.
    start: makes, of the right calibration, what must be refused; spoil: changes the servos before that.
    """

    name: str
    text: str
    code: str
    words: str = ""
    unplugs: bool = False
    silence: bool = False
    falls: bool = False
    start: Callable[[ArmCalibration], ArmCalibration] | None = None
    spoil: tuple[int, bytes] | None = None


@dataclass(frozen=True, kw_only=True)
class BusResult:
    """What came of a case.

    reaction: ticks until the driver said so; beyond_rad: how far the pan joint went on since then; says, does: for
    people; why: what is not as it must be.
    """

    case: str
    code: str
    says: str
    does: str
    reaction: int | None
    beyond_rad: float
    why: tuple[str, ...]


def _changed(joint: str, **values: int) -> Callable[[ArmCalibration], ArmCalibration]:
    def change(right: ArmCalibration) -> ArmCalibration:
        names = [j.name for j in right.joints]
        data = {name: dict(vars(servo)) for name, servo in zip(names, right.servos, strict=True)}
        data[joint] |= values
        return read_calibration(data, load_robot(ROBOT), 0, "arm.json")

    return change


def _without_gripper(right: ArmCalibration) -> ArmCalibration:
    data = {j.name: dict(vars(s)) for j, s in zip(right.joints[:-1], right.servos, strict=False)}
    return read_calibration(data, load_robot(ROBOT), 0, "arm.json")


def _as_it_is(right: ArmCalibration) -> ArmCalibration:
    return right


REFUSED = "refused at the start"
CASES: tuple[BusCase, ...] = (
    BusCase(name="lost_packet", text="one answer is lost", code="", words="drop 1"),
    BusCase(name="corrupt_packet", text="one answer is corrupt", code="", words="corrupt 1"),
    BusCase(name="noisy_wire", text="one answer in 50 is lost", code="", words="noise 50"),
    BusCase(name="vanished_servo", text="a servo stops to answer", code=faults.SILENT, words="mute 3"),
    BusCase(name="dead_bus", text="no servo answers any more", code=faults.SILENT_BUS, words="mute"),
    BusCase(name="unplugged", text="the adapter is unplugged", code=faults.UNPLUGGED, unplugs=True),
    BusCase(name="warm_servo", text="a servo is hotter than the robot bears", code=faults.HOT, words="hot 2 67"),
    BusCase(name="hot_servo", text="a servo protects itself from heat", code=faults.HOT, words="hot 2 80", falls=True),
    BusCase(name="under_voltage", text="the supply falls to 5.2 V", code=faults.UNDER_VOLTAGE, words="supply 5.2"),
    BusCase(name="over_voltage", text="the supply rises to 9 V", code=faults.OVER_VOLTAGE, words="supply 9.0"),
    BusCase(name="overload", text="a servo is overloaded", code=faults.OVERLOAD, words="overload 1"),
    BusCase(name="encoder", text="a servo's encoder fails", code=faults.ENCODER, words="encoder 5"),
    BusCase(
        name="restart",
        text="a servo loses power a moment",
        code=faults.TORQUE_OFF,
        words="restart 2",
        falls=True,
    ),
    BusCase(name="no_commands", text="joint_command stops", code="", silence=True),
    BusCase(
        name="other_arm",
        text="the calibration file is of another arm",
        code=REFUSED,
        start=_changed("elbow_flex", homing_offset=-900),
    ),
    BusCase(name="swapped_id", text="the file swaps ids", code=REFUSED, start=_changed("elbow_flex", id=4)),
    BusCase(name="missing_motor", text="the file lacks a motor", code=REFUSED, start=_without_gripper),
    BusCase(
        name="impossible_range",
        text="the file has a range that no arm has",
        code=REFUSED,
        start=_changed("wrist_flex", range_min=0, range_max=300),
    ),
    BusCase(
        name="velocity_mode", text="a servo is not in position mode", code=REFUSED, start=_as_it_is, spoil=(33, b"\x01")
    ),
    BusCase(name="wrong_model", text="a servo is no STS3215", code=REFUSED, start=_as_it_is, spoil=(3, b"\x04\x05")),
)


class BusStage:
    """Simulator, servos and terminal for one case after the other. Compiling the model takes a second."""

    def __init__(self) -> None:
        """Compile the model."""
        self._robot = load_robot(ROBOT)
        self._scene = make_task(TASK).sample(0).scene
        self._simulator = Simulator(self._robot, self._scene)
        self._force_nm = self._simulator.model.actuator_forcerange.copy()
        self._calibration = load_calibration("simulated", self._robot)

    def run(self, case: BusCase) -> BusResult:
        """Run one case."""
        self._simulator.reset(self._scene)
        self._simulator.model.actuator_forcerange[:] = self._force_nm  # the last case may have taken some
        arms = ServoedArms(self._simulator)
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            wire = Wire(arms.buses[0], Path(folder) / "servo_bus", paced=False)
            stack.callback(wire.stop)
            wire.start()
            if case.start is not None:
                return self._refused(case, arms, wire)
            return self._moving(case, arms, wire)

    def _driver(self, wire: Wire, calibration: ArmCalibration) -> FeetechDriver:
        port = ArmPort(device=wire.device, calibration=calibration)
        return FeetechDriver(self._robot, [port], DriverSettings(patience_s=PATIENCE_S))

    def _refused(self, case: BusCase, arms: ServoedArms, wire: Wire) -> BusResult:
        assert case.start is not None
        if case.spoil is not None:
            address, data = case.spoil
            arms.buses[0].servo(3).memory[address : address + len(data)] = data
        says = ""
        try:
            self._driver(wire, case.start(self._calibration)).close()
        except SoArmError as error:
            says = str(error)
        torque = any(servo.memory[40] for servo in arms.buses[0].servos)
        why = [] if says else ["it was not refused"]
        why += ["a servo got torque"] if torque else []
        does = "stays without torque" if not torque else "has torque"
        reaction = 0 if says else None
        return BusResult(
            case=case.name, code=case.code, says=says, does=does, reaction=reaction, beyond_rad=0.0, why=tuple(why)
        )

    def _moving(self, case: BusCase, arms: ServoedArms, wire: Wire) -> BusResult:
        driver = self._driver(wire, self._calibration)
        try:
            run = _Run(case, self._simulator, arms, wire, driver)
            for tick in range(ONSET + WATCHED):
                run.tick(tick)
            return run.result()
        finally:
            driver.close()


class _Run:
    """One case on a moving arm."""

    def __init__(
        self, case: BusCase, simulator: Simulator, arms: ServoedArms, wire: Wire, driver: FeetechDriver
    ) -> None:
        self._case, self._simulator, self._arms, self._wire, self._driver = case, simulator, arms, wire, driver
        self._reaction: int | None = None
        self._said = ""
        self._codes: set[str] = set()
        self._at_reaction: FloatArray | None = None
        self._beyond = self._lag = 0.0

    def tick(self, tick: int) -> None:
        """Command, step the driver, step the physics, look."""
        if tick == ONSET:
            if self._case.unplugs:
                self._wire.unplug()
            elif self._case.words:
                self._arms.buses[0].inject(self._case.words)
        silent = self._case.silence and tick >= ONSET
        goal = swing(self._simulator.robot.home, tick)
        self._driver.step(None if silent else goal, tick * NS // CONTROL_HZ)
        self._arms.step()
        found = {fault.code: fault.text for fault in self._driver.faults}
        self._codes |= set(found)
        if self._at_reaction is None and (found or silent):
            self._at_reaction = self._simulator.q.copy()
            self._reaction = tick - ONSET
            self._said = next(iter(found.items()), ("", ""))[1]
        if self._at_reaction is not None:
            self._beyond = max(self._beyond, float(np.abs(self._simulator.q - self._at_reaction)[0]))
        self._lag = max(self._lag, float(np.abs(goal - self._simulator.q)[0]))

    def result(self) -> BusResult:
        """Judge."""
        case, stopped = self._case, bool(self._case.code) or self._case.silence
        speed = float(np.abs(self._simulator.dq).max())
        why = []
        if case.code and case.code not in self._codes:
            why.append(f"it did not say {case.code}, but {sorted(self._codes)}")
        if not case.code and self._codes:
            why.append(f"it said {sorted(self._codes)}")
        if case.code and self._reaction is not None and self._reaction > REACTION_TICKS:
            why.append(f"it said so after {self._reaction} ticks")
        if stopped and not case.falls and speed > REST_RAD_S:
            why.append(f"the arm still moves, {speed:.2f} rad/s")
        if stopped and self._beyond > BEYOND_RAD:
            why.append(f"the arm went on for {self._beyond:.3f} rad")
        if not stopped and self._lag > 2 * BEYOND_RAD:
            why.append(f"the arm lagged {self._lag:.3f} rad behind its commands")
        counted = self._driver.packets
        said = self._said or f"counts {counted['lost']} lost, {counted['corrupt']} corrupt"
        if not stopped:
            does = f"goes on, at most {self._lag:.3f} rad behind"
        else:
            does = "one falls, the others hold" if case.falls else "holds"
            does += f", pan {self._beyond:.3f} rad further"
        return BusResult(
            case=case.name,
            code=case.code,
            says=said,
            does=does,
            reaction=self._reaction,
            beyond_rad=self._beyond if stopped else math.nan,
            why=tuple(why),
        )


def swing(home: FloatArray, tick: int) -> FloatArray:
    """Return the command of a tick, (n,) rad: the pan joint swings to and fro, fastest at the onset."""
    q = np.array(home)
    q[0] += SWING_RAD * math.sin(2 * math.pi * (tick / CONTROL_HZ) / SWING_S)
    return q


def bus_table(results: Sequence[BusResult]) -> str:
    """Return the table for people."""
    texts = {case.name: case.text for case in CASES}
    lines = [f"{'case':18}{'fault':42}{'ticks':>6}  {'code':26}{'the arm':52}the driver says"]
    for r in results:
        ticks = "-" if r.reaction is None else str(r.reaction)
        lines.append(f"{r.case:18}{texts[r.case]:42}{ticks:>6}  {r.code or 'tolerated':26}{r.does:52}{r.says}")
    bad = [r for r in results if r.why]
    lines += ["", *(f"{r.case}: {'; '.join(r.why)}" for r in bad)]
    return "\n".join([*lines, f"{len(results) - len(bad)} of {len(results)} as they must be"])
