"""LeRobot's Diffusion Policy in two parts: pictures to keypoints, and those with the measured state to a chunk.

The policy looks at `n_obs_steps` observations, a row apart. A context has one picture of each camera, which stands for
all of them, as LeRobot itself does when an episode begins. Where the arm was before follows from where it is and how
fast the motion goes that is committed (the prefix): measured minus its step.
"""

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from so_arm_policy.learn.datasets.lerobot_format import ACTION
from so_arm_policy.learn.lerobot_policies.loading import part
from so_arm_policy.learn.lerobot_policies.parts import Converted, Joints, Pictures
from so_arm_policy.learn.lerobot_policies.schedules import Step, steps_of

PREFIX = 2
DRAW = "randn_tensor"  # what diffusers draws noise with


class Enlarged(nn.Module):
    """A resize of pictures (C, 3, H, W) of one size, as the two products that it is: ONNX knows no antialiasing."""

    rows: Tensor
    columns: Tensor

    def __init__(self, resize: Any, size: tuple[int, int]) -> None:
        """resize: torchvision's; size: height and width of what comes in."""
        super().__init__()
        height, width = resize.size
        one_way = type(resize)((height, size[0]), antialias=True), type(resize)((size[1], width), antialias=True)
        self.register_buffer("rows", one_way[0](torch.eye(size[0])[None])[0])
        self.register_buffer("columns", one_way[1](torch.eye(size[1])[None])[0])

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        return self.rows @ pictures @ self.columns


class KeypointEncoder(nn.Module):
    """Keypoints of each camera's picture, (C, 2 K)."""

    def __init__(self, model: Any, pictures: Pictures, size: tuple[int, int]) -> None:
        """model: lerobot's DiffusionModel."""
        super().__init__()
        cameras = len(pictures.shift)
        separate = model.config.use_separate_rgb_encoder_per_camera
        self.pictures = pictures
        self.encoders = nn.ModuleList(model.rgb_encoder if separate else [model.rgb_encoder] * cameras)
        resize = self.encoders[0].resize
        self.resized = nn.Identity() if resize is None else Enlarged(resize, size)

    def forward(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Return (1, 2, 1, C, K)."""
        seen = self.resized(self.pictures(images))
        parts = [self._encode(encoder, one[None]) for encoder, one in zip(self.encoders, seen, strict=True)]
        features = torch.cat(parts)
        return torch.stack(features.chunk(2, dim=-1)).unsqueeze(1).unsqueeze(0)

    @staticmethod
    def _encode(encoder: Any, picture: Tensor) -> Tensor:
        if encoder.do_crop:
            picture = encoder.center_crop(picture)
        said: Tensor = encoder.relu(encoder.out(encoder.pool(encoder.backbone(picture)).flatten(1)))
        return said


class DiffusionActor(nn.Module):
    """The denoising loop, unrolled, over LeRobot's network."""

    def __init__(self, model: Any, joints: Joints, steps: list[Step]) -> None:
        """model: lerobot's DiffusionModel."""
        super().__init__()
        self.joints, self.network, self.steps = joints, model.unet, steps
        self.history = model.config.n_obs_steps
        self.horizon = model.config.horizon

    def forward(self, keys_values: Tensor, state: Tensor, noise: Tensor, prefix: Tensor) -> Tensor:
        """See so_arm_policy.policy.graphs.system1_spec; noise: what is denoised, and what each step adds again."""
        features = torch.cat([keys_values[0, 0, 0], keys_values[0, 1, 0]], dim=-1).flatten()
        ago = torch.arange(self.history - 1, -1, -1, dtype=torch.float32)[:, None]
        states = self.joints.seen(state - ago * (prefix[1] - prefix[0]))
        told = torch.cat([states, features.expand(self.history, -1)], dim=-1).flatten()[None]
        x = noise[:1]
        for i, step in enumerate(self.steps):
            said = self.network(x, torch.full((1,), step.time, dtype=torch.int64), global_cond=told)
            x = step.after(x, said, noise[i + 1 : i + 2] if step.again > 0.0 else None)
        return self.joints.positions(x[0, self.history - 1 :], prefix)


def convert(policy: Any, joints: Joints, pictures: Pictures, size: tuple[int, int], tokens: int) -> Converted:
    """Take lerobot's DiffusionPolicy apart. size: of the pictures, (height, width)."""
    model, config = policy.diffusion, policy.config
    encoder, steps = KeypointEncoder(model, pictures, size), steps_of(model)
    horizon = config.horizon - config.n_obs_steps + 1
    noisy = [i for i, step in enumerate(steps) if step.again > 0.0]
    draws = 1 + (noisy[-1] + 1 if noisy else 0)
    return Converted(
        family="diffusion",
        encoder=encoder,
        actor=DiffusionActor(model, joints, steps),
        context_shape=(1, 2, 1, len(encoder.encoders), config.spatial_softmax_num_keypoints),
        horizon=horizon,
        prefix=PREFIX,
        passes=len(steps),
        noise_shape=(draws, config.horizon, len(joints.columns)),
        noise_std=1.0,
        replan=config.n_action_steps,
        history=config.n_obs_steps,
    )


def predict(policy: Any, observations: list[dict[str, Any]], noise: Tensor | None) -> Tensor:
    """Return LeRobot's own normalised chunk (1, H, n), of all rows from now on, for observations, the oldest first.

    noise: (draws, horizon, n); its scheduler draws from it, in order, what it would draw at random.
    """
    assert noise is not None
    policy.reset()
    policy.config.n_action_steps = policy.config.horizon - policy.config.n_obs_steps + 1
    populate, pictures = part("policies.utils", "populate_queues"), list(policy.config.image_features)
    for seen in observations:
        batch = {key: value for key, value in seen.items() if key != ACTION}
        batch["observation.images"] = torch.stack([seen[key] for key in pictures], dim=-4)
        policy._queues = populate(policy._queues, batch)
    draws = iter(noise[1:, None])
    schedulers = [importlib.import_module(f"diffusers.schedulers.scheduling_{name}") for name in ("ddpm", "ddim")]
    before = [getattr(scheduler, DRAW) for scheduler in schedulers]
    try:
        for scheduler in schedulers:
            setattr(scheduler, DRAW, lambda *args, **kwargs: next(draws))
        chunk: Tensor = policy.predict_action_chunk(batch, noise=noise[:1])
    finally:
        for scheduler, own in zip(schedulers, before, strict=True):
            setattr(scheduler, DRAW, own)
    return chunk
