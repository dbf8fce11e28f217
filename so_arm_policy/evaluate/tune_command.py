"""`so-arm tune`: gains of a hand-crafted controller, by a procedure that anybody can repeat."""

import argparse
import time
from dataclasses import fields

from so_arm_policy.control.cartesian_pid import CartesianPidConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.evaluate.tuning import FIRST_SEED, RANGES, Cost, Trial, Tuning, first_gains, relay, search
from so_arm_policy.robot.description import load_robot


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    tuning = Tuning()
    parser.add_argument("controller", choices=["pid"], help="pid: the Cartesian PID of the sources pid and servo")
    parser.add_argument("--episodes", type=int, default=tuning.episodes, help="of each try, from seed 3000 on")
    parser.add_argument("--tries", type=int, default=tuning.tries, help="sets of gains")
    parser.add_argument("--lag-s", type=float, default=tuning.lag_s, help="of the motors in every second episode")


def run(args: argparse.Namespace) -> int:
    """Tune, and print the gains to paste. Raises ConfigError."""
    tuning = Tuning(episodes=args.episodes, tries=args.tries, lag_s=args.lag_s)
    began = time.perf_counter()
    start = _start(tuning)
    trial = Trial(tuning)
    print(f"tries (cost in s, over {tuning.episodes} episodes of reach, seeds {FIRST_SEED} on):")
    _print_try(CartesianPidConfig(), trial.cost(CartesianPidConfig()))
    print("  ^ the gains that are now the default")
    best = search(trial, start, tuning.tries, _print_try)
    seconds = time.perf_counter() - began
    print(f"spent: {trial.episodes} episodes, {trial.ticks / CONTROL_HZ:.0f} simulated s, {seconds:.0f} s")
    print(f"CartesianPidConfig({', '.join(f'{f.name}={getattr(best, f.name)}' for f in fields(best))})")
    return 0


def _start(tuning: Tuning) -> CartesianPidConfig:
    robot = load_robot("so101")
    cycles = [relay(robot, tuning.lag_s, axis) for axis in range(3)]
    for axis, cycle in zip("xyz", cycles, strict=True):
        print(f"relay along {axis}: ultimate gain {cycle.gain:.1f} 1/s, period {cycle.period_s * 1e3:.0f} ms")
    start = first_gains(min(cycles, key=lambda cycle: cycle.gain))
    print(f"start: kp {start.kp:.2f}, kd {start.kd:.3f}")
    return start


def _print_try(gains: CartesianPidConfig, cost: Cost) -> None:
    values = ", ".join(f"{name} {getattr(gains, name):.3g}" for name in RANGES)
    print(
        f"  {cost.total:7.3f}  {values}: {cost.successes} successes, {cost.time_s:.3f} s, "
        f"overshoot {cost.overshoot_m * 1e3:.2f} mm, roughness {cost.roughness:.2f}, {cost.clamps:.1f} clamps"
    )
