"""The steps of Diffusion Policy's schedulers as constants: DDPM (Ho et al., 2020) and DDIM (Song et al., 2020).

diffusers looks its constants up by time while it runs; here they are looked up once, so that a graph can hold them.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Step:
    """One denoising step: x of noise level `time` to the next one.

    clean, noisy: x = clean * (what is denoised) + noisy * (its noise). says_noise: whether the network says the noise,
    not what is denoised. limit: of what is denoised, None for none. of_clean, of_x, of_noise: what the next x is made
    of; again: the standard deviation of what is added to it.
    """

    time: int
    clean: float
    noisy: float
    says_noise: bool
    limit: float | None
    of_clean: float
    of_x: float
    of_noise: float
    again: float

    def after(self, x: Tensor, said: Tensor, noise: Tensor | None) -> Tensor:
        """Return the next x. said: what the network says of x; noise: normally distributed, None where `again` is 0."""
        clean = (x - self.noisy * said) / self.clean if self.says_noise else said
        noisy = said if self.says_noise else (x - self.clean * said) / self.noisy
        if self.limit is not None:
            clean = clean.clamp(-self.limit, self.limit)
        moved = self.of_clean * clean
        if self.of_x:
            moved = moved + self.of_x * x
        if self.of_noise:
            moved = moved + self.of_noise * noisy
        return moved if noise is None else moved + self.again * noise


def steps_of(model: Any) -> list[Step]:
    """Return the steps that lerobot's DiffusionModel takes."""
    scheduler = model.noise_scheduler
    scheduler.set_timesteps(model.num_inference_steps)
    times = [int(time) for time in scheduler.timesteps]
    make = _ddim if model.config.noise_scheduler_type == "DDIM" else _ddpm
    return [make(scheduler, time, times[i + 1] if i + 1 < len(times) else -1) for i, time in enumerate(times)]


def _shared(scheduler: Any, time: int) -> dict[str, Any]:
    kept = scheduler.alphas_cumprod[time]
    return {
        "time": time,
        "clean": float(kept**0.5),
        "noisy": float((1 - kept) ** 0.5),
        "says_noise": scheduler.config.prediction_type == "epsilon",
        "limit": float(scheduler.config.clip_sample_range) if scheduler.config.clip_sample else None,
    }


def _ddpm(scheduler: Any, time: int, after: int) -> Step:
    kept = scheduler.alphas_cumprod[time]
    kept_after = scheduler.alphas_cumprod[after] if after >= 0 else scheduler.one
    left, left_after, ratio = 1 - kept, 1 - kept_after, kept / kept_after
    return Step(
        **_shared(scheduler, time),
        of_clean=float(kept_after**0.5 * (1 - ratio) / left),
        of_x=float(ratio**0.5 * left_after / left),
        of_noise=0.0,
        again=float(scheduler._get_variance(time) ** 0.5) if time > 0 else 0.0,
    )


def _ddim(scheduler: Any, time: int, after: int) -> Step:
    after = time - scheduler.config.num_train_timesteps // scheduler.num_inference_steps  # as diffusers says it
    kept_after = scheduler.alphas_cumprod[after] if after >= 0 else scheduler.final_alpha_cumprod
    return Step(
        **_shared(scheduler, time),
        of_clean=float(kept_after**0.5),
        of_x=0.0,
        of_noise=float((1 - kept_after) ** 0.5),
        again=0.0,
    )
