import pytest
import torch
from torch import nn

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.loop import LoopConfig, fit


class KilledError(Exception):
    pass


def make():
    torch.manual_seed(0)
    return nn.Linear(4, 2)


def losses(model, die_at=-1):
    def loss(step):
        if step == die_at:
            raise KilledError
        x = torch.randn(16, 4)
        value = (model(x) - x[:, :2]).square().mean()
        return value, {"loss": float(value.detach())}

    return loss


def test_killed_and_resumed_ends_with_the_same_weights(tmp_path):
    config = LoopConfig(steps=60, warmup=5, checkpoint_every=20, seed=3)
    whole = make()
    expected = fit(whole, losses(whole), config, tmp_path / "whole.pt")
    killed = make()
    with pytest.raises(KilledError):
        fit(killed, losses(killed, die_at=47), config, tmp_path / "killed.pt")
    resumed = make()
    got = fit(resumed, losses(resumed), config, tmp_path / "killed.pt")
    for name, value in expected.state_dict().items():
        assert torch.equal(value, got.state_dict()[name])
    assert torch.equal(whole.weight, resumed.weight)


def test_resume_with_another_config_is_refused(tmp_path):
    model = make()
    fit(model, losses(model), LoopConfig(steps=4, checkpoint_every=2), tmp_path / "a.pt")
    with pytest.raises(ConfigError, match="choose another"):
        fit(model, losses(model), LoopConfig(steps=8, checkpoint_every=2), tmp_path / "a.pt")


@pytest.mark.parametrize("values", [{"steps": 0}, {"steps": 5, "rate": 0.0}, {"steps": 5, "average": 1.0}])
def test_schedules_that_do_nothing_are_refused(values):
    with pytest.raises(ConfigError, match="training: got"):
        LoopConfig(**values)
