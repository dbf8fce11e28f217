from dataclasses import dataclass

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.learn.loop import LoopConfig, fit


class KilledError(Exception):
    pass


@dataclass(frozen=True)
class Numbers:
    x: torch.Tensor


class Copy(nn.Module):
    """Learns to give back the first two of four numbers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 2)

    def forward(self, batch):
        value = (self.linear(batch.x) - batch.x[:, :2]).square().mean()
        return value, {"doubled": 2 * value.detach()}


def numbers(step, process):
    return Numbers(torch.from_numpy(np.random.default_rng([step, process]).normal(size=(16, 4)).astype(np.float32)))


@pytest.mark.parametrize("muon", [(), ("linear",)])
def test_killed_and_resumed_ends_with_the_same_weights(tmp_path, muon):
    config = LoopConfig(steps=60, warmup=5, checkpoint_every=20, seed=3)
    whole = Copy()
    expected = fit(whole, numbers, config, tmp_path, "whole", muon=muon)

    def killed(step, process):
        if step == 47:
            raise KilledError
        return numbers(step, process)

    with pytest.raises(KilledError):
        fit(Copy(), killed, config, tmp_path, "killed", muon=muon)
    asked = []

    def resumed(step, process):
        asked.append(step)
        return numbers(step, process)

    again = Copy()
    got = fit(again, resumed, config, tmp_path, "killed", muon=muon)
    assert asked == list(range(40, 60))
    for name, value in expected.module.state_dict().items():
        assert torch.equal(value, got.module.state_dict()[name])
    assert torch.equal(whole.linear.weight, again.linear.weight)
    assert got.effort.steps == 60
    assert got.effort.seconds > got.effort.waited > 0.0


def test_figures_are_written_for_tensorboard_and_watched_now_and_then(tmp_path):
    looks = []

    def watch(step, module):
        looks.append((step, type(module)))
        return {"success": 0.5}

    fit(Copy(), numbers, LoopConfig(steps=250, watch_every=100), tmp_path, "a", watch)
    assert looks == [(100, Copy), (200, Copy), (250, Copy)]
    events = EventAccumulator(str(tmp_path / "tensorboard" / "a")).Reload()
    assert [e.step for e in events.Scalars("loss")] == [100, 200, 250]
    assert [e.value for e in events.Scalars("success")] == [0.5] * 3
    assert events.Scalars("loss")[-1].value < events.Scalars("loss")[0].value


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path):
    def broken(step, process):
        return Numbers(numbers(step, process).x * (float("inf") if step == 3 else 1.0))

    with pytest.raises(InputError, match="at step 3, expected a finite one"):
        fit(Copy(), broken, LoopConfig(steps=9), tmp_path, "a")


def test_resume_with_another_config_is_refused(tmp_path):
    fit(Copy(), numbers, LoopConfig(steps=4, checkpoint_every=2), tmp_path, "a")
    with pytest.raises(ConfigError, match="choose another"):
        fit(Copy(), numbers, LoopConfig(steps=8, checkpoint_every=2), tmp_path, "a")


def test_resume_with_other_sizes_or_data_is_refused(tmp_path):
    fit(Copy(), numbers, LoopConfig(steps=4), tmp_path, "a", about=("sizes", "data 1"))
    with pytest.raises(ConfigError, match=r"data 1.*, expected .*data 2.*; choose another --run"):
        fit(Copy(), numbers, LoopConfig(steps=4), tmp_path, "a", about=("sizes", "data 2"))


def test_no_steps_leave_the_weights_and_a_checkpoint(tmp_path):
    module = Copy()
    before = {name: weight.clone() for name, weight in module.state_dict().items()}
    got = fit(module, numbers, LoopConfig(steps=0), tmp_path, "a")
    assert got.effort.steps == 0
    assert all(torch.equal(weight, before[name]) for name, weight in got.module.state_dict().items())
    assert (tmp_path / "a.pt").exists()


def test_muon_steps_the_matrices_it_is_given_and_learns(tmp_path):
    adam, muon = Copy(), Copy()
    config = LoopConfig(steps=40, warmup=2, rate=0.05)
    goal = torch.eye(2, 4)
    begun = (muon.linear.weight - goal).norm()
    fit(adam, numbers, config, tmp_path, "adam")
    fit(muon, numbers, config, tmp_path, "muon", muon=("linear",))
    assert not torch.allclose(adam.linear.weight, muon.linear.weight, atol=1e-4)
    assert (muon.linear.weight - goal).norm() < 0.7 * begun
    with pytest.raises(ConfigError, match="Muon"):  # the checkpoint belongs to the other optimiser
        fit(Copy(), numbers, config, tmp_path, "muon")


def test_a_broken_checkpoint_is_named(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=r"a\.pt: got .*, expected a checkpoint"):
        fit(Copy(), numbers, LoopConfig(steps=4), tmp_path, "a")


@pytest.mark.parametrize(
    "values",
    [
        {"steps": -1},
        {"steps": 5, "rate": 0.0},
        {"steps": 5, "average": 1.0},
        {"steps": 5, "weight_decay": float("nan")},
        {"steps": 5, "watch_every": -1},
        {"steps": 5, "seed": -1},
    ],
)
def test_schedules_that_do_nothing_are_refused(values):
    with pytest.raises(ConfigError, match="training: got"):
        LoopConfig(**values)
