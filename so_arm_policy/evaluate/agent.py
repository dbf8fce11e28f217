"""Who acts in an episode: what an agent may know at a tick, what it says, and who may stand behind it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from so_arm_policy.core.values import CameraImage, JointSample, Proposal
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks.task import Episode

Look = Callable[[Sequence[str]], Mapping[str, CameraImage]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Moment:
    """What an agent may know at one tick.

    now_ns: simulated time, for ROS and for watchdogs; following: whether the arm does what the agent proposed;
    look: takes camera names, returns what they see now (drawn only when called). simulator: the true state, only for
    agents that say that they are privileged.
    """

    tick: int
    now_ns: int
    sample: JointSample
    following: bool
    look: Look
    simulator: Simulator


@dataclass(frozen=True, kw_only=True)
class AgentReport:
    """What an agent did in one episode.

    silences: why it proposed nothing, and how often. Times in ms are measured and so differ from run to run.
    """

    contexts: int = 0
    inferences: int = 0
    silences: dict[str, int] = field(default_factory=dict)
    system1_ms: tuple[float, ...] = field(default=(), compare=False, repr=False)
    system2_ms: tuple[float, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a person asks of the supervisor in one tick; see safety/requests.py."""

    estop: str | None = None
    reset: bool = False
    select: str | None = None


class Agent(Protocol):
    """Whatever acts: a learned policy, a hand-crafted controller, a scripted expert."""

    @property
    def name(self) -> str:
        """Source name under which the supervisor knows it."""
        ...

    def reset(self, episode: Episode) -> None:
        """Begin `episode`; `episode.instruction` is what the agent is told. Scripted agents may look into its scene."""
        ...

    def propose(self, moment: Moment) -> Proposal | None:
        """Return the command wanted now, or None. Called once a tick."""
        ...

    def report(self) -> AgentReport:
        """Say what was done since the reset."""
        ...


class StandIn(Agent, Protocol):
    """An agent that can take over in the middle of an episode."""

    def stand_by(self, episode: Episode, moment: Moment) -> Proposal | None:
        """Begin `episode` anew from where the arm is now, and return what that begins with.

        Called instead of `propose` at every tick in which another acts. It need not look before it acts.
        """
        ...


@runtime_checkable
class Backed(Agent, Protocol):
    """An agent with another one behind it: who takes over when the supervisor rejects what the first proposes."""

    @property
    def fallback(self) -> StandIn:
        """Who takes over."""
        ...

    @property
    def safety(self) -> SupervisorConfig:
        """Configuration of the supervisor, with both as sources and when it hands over."""
        ...
