"""What the last ticks of a bag tell of the supervisor."""

import numpy as np
import pytest

from so_arm_policy.evaluate.bags.taken_up import AT_REST
from so_arm_policy.robot.description import load_robot
from so_arm_policy.safety.case import Setup
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.limiter import brake, move
from so_arm_policy.safety.values import Output


@pytest.mark.parametrize("seed", range(20))
def test_a_command_that_stayed_the_same_in_so_many_ticks_of_braking_stands(seed):
    random, setup = np.random.default_rng(seed), Setup.of(SupervisorConfig(), load_robot("so101"))
    limits = setup.limits
    for _ in range(10):
        q = random.uniform(limits.lower, limits.upper)
        q = np.where(random.random(6) < 0.3, random.choice([limits.lower, limits.upper]), q)
        output, unchanged = Output.at_rest(q), 0
        for _ in range(random.integers(1, 40)):
            wish = q + random.uniform(-0.2, 0.2, 6) * (random.random(6) < 0.7) * random.choice([1e-6, 1e-2, 1.0])
            output = move(limits, output, None, wish).output
        for _ in range(200):
            braked = brake(limits, output)
            unchanged = unchanged + 1 if np.array_equal(braked.q, output.q) else 0
            output = braked
            assert output.resting or unchanged < AT_REST
        assert output.resting
