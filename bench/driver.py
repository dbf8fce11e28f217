"""Does the servo driver keep 120 Hz? The real driver and SDK on simulated servos, paced like a wire of 1 Mbit/s.

    python bench/driver.py --seconds 20

The simulated servos (bytes, memory, MuJoCo arm) are a process of their own behind pseudo-terminals. Beside it, in the
same minutes, the same tick loop with nothing to do: the noise of this machine. What a USB adapter adds, 1 to 2 ms for
each question, is not in it.
"""

import argparse
import subprocess
import sys
import tempfile
import time

import numpy as np

from so_arm_policy.core.ticks import Tick, TickLoop
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.robot.description import load_robot
from so_arm_policy.robot.feetech.bus import BAUDRATE
from so_arm_policy.robot.feetech.driver import DriverSettings
from so_arm_policy.robot.feetech.plugged import arm_ports, open_driver
from so_arm_policy.robot.feetech.reading import BLOCK_LENGTH
from so_arm_policy.sim.servo_bus.arms import ServoedArms
from so_arm_policy.sim.servo_bus.wire import BITS_PER_BYTE
from so_arm_policy.sim.servo_bus.wires import Wires
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks import make_task

SCENES = {"so101": "reach", "so101_bimanual": "handover"}
SWING_RAD, SWING_S = 0.3, 2.0
UP_S = 60.0
WARM_TICKS = CONTROL_HZ


class Measured:
    """Periods between the ends of ticks, and how long each took, s."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.works: list[float] = []
        self.cpu: list[float] = []

    def add(self, began_s: float, cpu_s: float) -> None:
        """Take in the end of a tick."""
        now_s = time.perf_counter()
        self.ends.append(now_s)
        self.works.append(now_s - began_s)
        self.cpu.append(time.thread_time() - cpu_s)

    def text(self) -> str:
        """Say it for people."""
        ends, works = np.array(self.ends[WARM_TICKS:]), np.array(self.works[WARM_TICKS:])
        periods = np.diff(ends) * 1e3
        rate = len(periods) / (ends[-1] - ends[0])
        p50, p99 = np.percentile(periods, [50, 99])
        w50, w99 = np.percentile(works * 1e3, [50, 99])
        cpu = np.median(self.cpu[WARM_TICKS:]) * 1e3
        step = f"step p50 {w50:.2f} p99 {w99:.2f} ms, of which this process's CPU {cpu:.2f} ms"
        return f"{rate:6.1f} Hz, period p50 {p50:.2f} p99 {p99:.2f} ms, {step}"


def wire_ms(servos: int) -> float:
    """Time on the wire of one tick of one arm: goals out, question, answers, ms."""
    goals, question, answers = 8 + 3 * servos, 8 + servos, servos * (6 + BLOCK_LENGTH)
    return (goals + question + answers) * BITS_PER_BYTE / BAUDRATE * 1e3


def serve(robot_name: str, links: str) -> int:
    """Be the simulated servos, until killed."""
    robot = load_robot(robot_name)
    arms = ServoedArms(Simulator(robot, make_task(SCENES[robot_name]).sample(0).scene))
    Wires(arms.buses, links).start()
    TickLoop(lambda tick: arms.step(), CONTROL_HZ, 0.5).run()
    return 0


def measure(robot_name: str, seconds: float, patience_s: float) -> None:
    """Drive the arms of one robot and print how regular that was."""
    robot = load_robot(robot_name)
    with tempfile.TemporaryDirectory() as folder:
        links = ",".join(f"{folder}/arm{i}" for i in range(len(robot.arms)))
        served = subprocess.Popen([sys.executable, __file__, "--serve", robot_name, links])
        try:
            ports = arm_ports(robot, links, ",".join(["simulated"] * len(robot.arms)))
            driver = open_driver(robot, ports, DriverSettings(patience_s=patience_s), wait_s=UP_S)
            begun = driver.packets
            measured, missing = Measured(), 0

            def step(tick: Tick) -> None:
                nonlocal missing
                began_s, cpu_s = time.perf_counter(), time.thread_time()
                q = np.array(robot.home)
                q[0] += SWING_RAD * np.sin(2 * np.pi * tick.index / CONTROL_HZ / SWING_S)
                missing += driver.step(q, time.monotonic_ns()).q is None
                measured.add(began_s, cpu_s)

            loop = TickLoop(step, CONTROL_HZ)
            loop.run(round(seconds * CONTROL_HZ))
            packets = driver.packets - begun
            print(f"{len(robot.arms)} arm(s): {measured.text()}")
            lost = f"{packets['lost']} of {packets['asked']} packets lost, {packets['corrupt']} corrupt"
            print(f"  ticks missed {loop.missed}, without a whole state {missing}; {lost}, halts {packets['halts']}")
            driver.close()
        finally:
            served.kill()
            served.wait()


def idle(seconds: float) -> None:
    """Print the same figures of a loop that does nothing."""
    measured = Measured()
    loop = TickLoop(lambda tick: measured.add(time.perf_counter(), time.thread_time()), CONTROL_HZ)
    loop.run(round(seconds * CONTROL_HZ))
    print(f"no work:  {measured.text()}\n  ticks missed {loop.missed}")


def main() -> int:
    """Measure one arm and two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each measurement")
    parser.add_argument("--patience", type=float, default=DriverSettings().patience_s, help="of the driver, seconds")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(*args.serve)
    if not 2.0 <= args.seconds <= 3600.0:
        parser.error(f"--seconds: got {args.seconds}, expected 2..3600")
    print(f"wire time of an arm: {wire_ms(6):.2f} ms of {1e3 / CONTROL_HZ:.2f}")
    idle(args.seconds)
    for robot_name in SCENES:
        measure(robot_name, args.seconds, args.patience)
    return 0


if __name__ == "__main__":
    sys.exit(main())
