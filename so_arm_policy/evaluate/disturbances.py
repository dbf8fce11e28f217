"""What befalls an arm and its sensors in an episode: each begins, acts and ends with it, and leaves nothing behind."""

import math

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.core.values import JointSample
from so_arm_policy.sim.simulator import Simulator

HAND = "gripper"  # the body that carries the jaws; its name in a model begins with the arm's prefix
NOISE_HZ = (0.5, 10.0)
NOISE_WAVES = 16
PUSHED_LINKS = ("upper_arm", "lower_arm", "wrist", "gripper")
PUSH_TICKS = 6
PUSH_S = (0.3, 2.0)  # when a push begins: while arms are on their first way in every task
_NOISE, _PUSH = 606, 607  # keep the draws of one kind apart from those of others, and of scenes


class Disturbance:
    """Nothing: what every disturbance is but for what it overrides. Of one rollout at a time."""

    def begin(self, simulator: Simulator, seed: int) -> None:
        """Begin an episode; `simulator` has just been reset."""

    def measured(self, sample: JointSample, tick: int) -> JointSample:  # noqa: ARG002
        """Return what is measured where `sample` is true."""
        return sample

    def act(self, simulator: Simulator, tick: int) -> None:
        """Act on the arm; called before each step."""

    def end(self, simulator: Simulator) -> None:
        """Leave `simulator` as it was before the episode; also called after an error."""


class JointNoise(Disturbance):
    """Positions are measured with an error whose derivative is the error of the velocities.

    A sum of waves with frequencies and phases drawn for each joint: Gaussian in the limit, and of a standard deviation
    of `std_rad` over time. White noise would not do: no velocity belongs to it. After Shinozuka and Deodatis,
    "Simulation of stochastic processes by spectral representation", Applied Mechanics Reviews 44, 1991.
    """

    def __init__(self, std_rad: float) -> None:
        """std_rad: standard deviation of each joint's position, rad."""
        self._height = std_rad * math.sqrt(2.0 / NOISE_WAVES)

    def begin(self, simulator: Simulator, seed: int) -> None:
        """Draw the waves."""
        rng = np.random.default_rng([seed, _NOISE])
        shape = len(simulator.robot.joints), NOISE_WAVES
        self._rad_s = 2.0 * math.pi * rng.uniform(*NOISE_HZ, shape)
        self._phase = rng.uniform(0.0, 2.0 * math.pi, shape)

    def measured(self, sample: JointSample, tick: int) -> JointSample:
        """Return `sample` with the errors of this tick."""
        angle = self._rad_s * tick / CONTROL_HZ + self._phase
        q = sample.q + self._height * np.cos(angle).sum(axis=1)
        dq = sample.dq - self._height * (self._rad_s * np.sin(angle)).sum(axis=1)
        return JointSample(stamp_ns=sample.stamp_ns, received_ns=sample.received_ns, q=q, dq=dq)


class _ChangedModel(Disturbance):
    """Changes fields of the model for one episode. `fields`: names of those that `change` may change."""

    fields: tuple[str, ...] = ()

    def begin(self, simulator: Simulator, seed: int) -> None:  # noqa: ARG002
        """Keep the model's values and change them."""
        self._kept = {name: getattr(simulator.model, name).copy() for name in self.fields}
        self.change(simulator)

    def change(self, simulator: Simulator) -> None:
        """Change the model."""
        raise NotImplementedError

    def end(self, simulator: Simulator) -> None:
        """Put the values back."""
        for name, values in self._kept.items():
            getattr(simulator.model, name)[:] = values


class Payload(_ChangedModel):
    """A point mass in the middle of mass of each hand, which no controller is told of."""

    fields = ("body_mass", "body_subtreemass")

    def __init__(self, mass_kg: float) -> None:
        """mass_kg: of each hand, besides its own."""
        self._mass_kg = mass_kg

    def change(self, simulator: Simulator) -> None:
        """Add the mass to the body, and to the sums of all that carry it."""
        model = simulator.model
        for arm in simulator.robot.arms:
            body = model.body(f"{arm.prefix}{HAND}").id
            model.body_mass[body] += self._mass_kg
            while body:
                model.body_subtreemass[body] += self._mass_kg
                body = model.body_parentid[body]
            model.body_subtreemass[0] += self._mass_kg


class Gain(_ChangedModel):
    """Servos that are stiffer or softer: the gain of position times a factor. Damping stays, and so does the limit."""

    fields = ("actuator_gainprm", "actuator_biasprm")

    def __init__(self, factor: float) -> None:
        """factor: of kp, of all servos."""
        self._factor = factor

    def change(self, simulator: Simulator) -> None:
        """MuJoCo's position servo: force = kp * command - kp * q - kv * dq."""
        servos = [simulator.model.actuator(name).id for name in simulator.robot.joint_names]
        simulator.model.actuator_gainprm[servos, 0] *= self._factor
        simulator.model.actuator_biasprm[servos, 1] *= self._factor


class Push(Disturbance):
    """A blow to one link: a force on its middle of mass for PUSH_TICKS; link, direction and time from the seed."""

    def __init__(self, impulse_n_s: float) -> None:
        """impulse_n_s: force times time, N s."""
        self._force_n = impulse_n_s * CONTROL_HZ / PUSH_TICKS

    def begin(self, simulator: Simulator, seed: int) -> None:
        """Draw which link, where to, and when."""
        rng = np.random.default_rng([seed, _PUSH])
        arm = simulator.robot.arms[int(rng.integers(len(simulator.robot.arms)))]
        link = PUSHED_LINKS[int(rng.integers(len(PUSHED_LINKS)))]
        self._body = simulator.model.body(f"{arm.prefix}{link}").id
        direction = rng.normal(size=3)
        self._force: FloatArray = self._force_n * direction / np.linalg.norm(direction)
        self._first_tick = round(rng.uniform(*PUSH_S) * CONTROL_HZ)

    def act(self, simulator: Simulator, tick: int) -> None:
        """Push, or no longer."""
        pushed = 0 <= tick - self._first_tick < PUSH_TICKS
        simulator.data.xfrc_applied[self._body, :3] = self._force if pushed else 0.0

    def end(self, simulator: Simulator) -> None:
        """Let go, also in the midst of the push."""
        simulator.data.xfrc_applied[self._body] = 0.0
