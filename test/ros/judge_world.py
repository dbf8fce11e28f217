"""A run of the supervisor as a bag has it, and judging it again without some of it."""

from dataclasses import dataclass, field, replace
from functools import cache
from types import SimpleNamespace

import numpy as np

from so_arm_policy.core.values import JointSample, MotorSample, Proposal
from so_arm_policy.evaluate.bags.judge_again import JudgeAgain
from so_arm_policy.evaluate.bags.recent import Parity, Recent
from so_arm_policy.robot.description import load_robot
from so_arm_policy.ros.traces import SupervisorTrace
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import TickInput
from so_arm_policy.sim.clearance import Clearance

ROBOT = load_robot("so101")
CONFIG = SupervisorConfig(sources=("system1", "hold"), on_novelty="slow")
PERIOD_NS = 1_000_000_000 // 120
BEGIN_NS = 1_700_000_000_000_000_000
TICKS = 1200
LATE_NS = 300_000  # of a tick, at most


class Kept(list):
    """Stands where the publisher of safety/tick does."""

    publish = list.append

    def get_subscription_count(self):
        return 1


@dataclass
class Run:
    """What was recorded. states: of the supervisor after each tick, which no bag has."""

    ticks: Kept = field(default_factory=Kept)
    samples: list = field(default_factory=list)
    motors: list = field(default_factory=list)
    proposals: list = field(default_factory=list)
    states: list = field(default_factory=list)


@dataclass
class Asked:
    """What one tick of the run brings besides the joints. silent: the source says nothing."""

    aim: np.ndarray
    silent: bool = False
    novelty: float = 0.0
    estop: str | None = None
    reset: bool = False
    select: str | None = None


def asked_at(i):
    """A swing, a pause, wishes beyond the limits, a stop and its reset, a doubt, another source and back."""
    swings = i < 240 or 330 <= i < 570 or 700 <= i < 940 or i >= 1000
    begin = max(b for b in (0, 330, 700, 1000) if b <= i)
    swing = 0.2 * (1.0 - np.cos(2 * np.pi * (i - begin) / 240)) * (np.arange(6) == 0) if swings else 0.0
    wild = 0.1 * np.sin(2.1 * i) * (np.arange(6) == 1) if 420 <= i < 440 else 0.0
    return Asked(
        aim=ROBOT.home + swing + wild,
        silent=i < 5 or 250 <= i < 330 or 600 <= i < 700,
        novelty=2.0 if 750 <= i < 800 else 0.0,
        estop="a person" if i == 555 else None,
        reset=i in (580, 590),
        select={950: "hold", 1000: "system1"}.get(i),
    )


def late_ns(i):
    """How much later than usual a tick is; after 1150 all are late by a stall."""
    return int({1050: 1.5, 1051: 0.6}.get(i, 0.0) * PERIOD_NS) + (5 * PERIOD_NS if i >= 1150 else 0)


@cache
def recorded(motors=True, blocked=False, **changes):
    """A run of a supervisor whose ticks come a little late, and some much. blocked: the arm, from tick 340 to 580."""
    random = np.random.default_rng(0)
    config = replace(CONFIG, **changes)
    clearance = Clearance(ROBOT, config.keep_outs.all, config.looking_m)
    supervisor, run = Supervisor(config, ROBOT, "system1", clearance), Run()
    trace, q, heard, now_ns = SupervisorTrace(run.ticks), ROBOT.home.copy(), {}, BEGIN_NS
    for i in range(TICKS):
        now_ns = BEGIN_NS + i * PERIOD_NS + int(random.integers(0, LATE_NS)) + late_ns(i)
        asked, stamp_ns = asked_at(i), now_ns - 2_000_000
        stuck = blocked and 340 <= i < 580
        sample = JointSample(stamp_ns=stamp_ns, received_ns=now_ns - 1_000_000, q=q.copy(), dq=np.zeros(6))
        motor = MotorSample(
            stamp_ns=stamp_ns,
            received_ns=now_ns - 1_000_000,
            load=random.uniform(0.0, 0.3, 6) + 0.6 * stuck,
            temperature_c=np.full(6, 30.0),
            voltage_v=np.full(6, 7.4),
            torque_on=np.full(6, not supervisor.state.limp),
        )
        for source, aim in (("system1", asked.aim), ("hold", ROBOT.home)):
            if source == "system1" and asked.silent:
                continue
            heard[source] = Proposal(
                source=source,
                sequence=i,
                stamp_ns=stamp_ns,
                observation_stamp_ns=now_ns - 50_000_000,
                received_ns=now_ns - 1_500_000,
                joint_names=ROBOT.joint_names,
                q=aim,
                novelty=asked.novelty,
            )
            run.proposals.append(heard[source])
        given = TickInput(
            now_ns=now_ns - BEGIN_NS,
            ros_now_ns=now_ns,
            sample=None if i < 3 else replace(sample, received_ns=sample.received_ns - BEGIN_NS),
            proposals={s: replace(p, received_ns=p.received_ns - BEGIN_NS) for s, p in heard.items()},
            motors=replace(motor, received_ns=motor.received_ns - BEGIN_NS) if motors else None,
            estop=asked.estop,
            reset=asked.reset,
            select=asked.select,
        )
        run.samples.append(sample)
        run.motors.append(motor)
        verdict = supervisor.step(given)
        trace.say(given, verdict, supervisor.source)
        run.states.append(supervisor.state)
        if verdict.command is not None:
            q = q + (1e-4 * random.standard_normal(6) if stuck else 0.5 * (verdict.command - q))
    return config, run


def again(made, lost=(), lost_samples=(), lost_proposals=(), config=None, look=None):
    """Judge the run again without what was lost. look: called with judge and number after each tick."""
    recorded_config, run = made
    samples, motors, proposals = Recent(), Recent(), Recent()
    judge = JudgeAgain(config or recorded_config, ROBOT, Parity())
    for i, sample in enumerate(run.samples):
        if i not in lost_samples:
            samples.put(0, sample.stamp_ns, sample)
        motors.put(0, run.motors[i].stamp_ns, run.motors[i])
    for i, p in enumerate(run.proposals):
        if i not in lost_proposals:
            proposals.put(0, (p.source, p.sequence, p.stamp_ns), p)
    for i, tick in enumerate(run.ticks):
        if i not in lost:
            judge.tick(tick, samples, motors, proposals)
            if look is not None:
                look(judge, i)
    return judge


def altered(run, changes):
    """The run with another record of some ticks. changes: by the number of the tick."""
    ticks = list(run.ticks)
    for i, change in changes.items():
        values = {name: getattr(ticks[i], name) for name in ticks[i].get_fields_and_field_types()}
        ticks[i] = SimpleNamespace(**values | change)
    return replace(run, ticks=ticks)
