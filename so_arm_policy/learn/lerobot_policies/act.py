"""LeRobot's ACT in two parts: pictures to features, and features with the measured state to a chunk.

ACT's encoder mixes pictures and state. It belongs to System 1: a chunk must follow from where the arm is now, while the
context may be some tenths of a second old.
"""

from typing import Any

import torch
from torch import Tensor, nn

from so_arm_policy.learn.lerobot_policies.parts import Converted, Joints, Pictures


class ActEncoder(nn.Module):
    """Backbone and projection: a token for each place of the feature maps."""

    def __init__(self, model: Any, pictures: Pictures) -> None:
        """model: lerobot's ACT."""
        super().__init__()
        self.pictures, self.backbone, self.project = pictures, model.backbone, model.encoder_img_feat_input_proj

    def features(self, images: Tensor) -> Tensor:
        """Pictures (C, H, W, 3) uint8 to feature maps (C, d, h, w)."""
        return self.project(self.backbone(self.pictures(images))["feature_map"])

    def forward(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Return tokens (C h w, d), split in two halves: (1, 2, 1, C h w, d / 2)."""
        features = self.features(images).permute(0, 2, 3, 1).flatten(0, 2)
        return torch.stack(features.chunk(2, dim=-1)).unsqueeze(1).unsqueeze(0)


class ActActor(nn.Module):
    """ACT's encoder and decoder in a style z, which is 0 where LeRobot runs them."""

    places: Tensor

    def __init__(self, model: Any, joints: Joints, features: Tensor) -> None:
        """model: lerobot's ACT; features: an example of its feature maps, (C, d, h, w)."""
        super().__init__()
        self.joints, self.model, self.config = joints, model, model.config
        with torch.no_grad():
            cameras = model.encoder_cam_feat_pos_embed(features[:1]).permute(0, 2, 3, 1).flatten(0, 2)
            own = model.encoder_1d_feature_pos_embed.weight
            self.register_buffer("places", torch.cat([own, cameras.repeat(len(features), 1)]).unsqueeze(1))

    def forward(self, keys_values: Tensor, state: Tensor, noise: Tensor, prefix: Tensor) -> Tensor:
        """See so_arm_policy.policy.graphs.system1_spec; noise: z."""
        model = self.model
        features = torch.cat([keys_values[0, 0, 0], keys_values[0, 1, 0]], dim=-1)
        style = model.encoder_latent_input_proj(noise.unsqueeze(0))
        told = model.encoder_robot_state_input_proj(self.joints.seen(state).unsqueeze(0))
        seen = model.encoder(torch.cat([style, told, features]).unsqueeze(1), pos_embed=self.places)
        rows = torch.zeros(self.config.chunk_size, 1, self.config.dim_model)
        places = model.decoder_pos_embed.weight.unsqueeze(1)
        said = model.decoder(rows, seen, encoder_pos_embed=self.places, decoder_pos_embed=places)
        return self.joints.positions(model.action_head(said[:, 0]), prefix)


def convert(policy: Any, joints: Joints, pictures: Pictures, size: tuple[int, int], tokens: int) -> Converted:
    """Take lerobot's ACTPolicy apart. size: of the pictures, (height, width)."""
    encoder = ActEncoder(policy.model, pictures)
    with torch.no_grad():
        features = encoder.features(torch.zeros(len(pictures.shift), *size, 3, dtype=torch.uint8))
    cameras, width, rows, columns = features.shape
    return Converted(
        family="act",
        encoder=encoder,
        actor=ActActor(policy.model, joints, features),
        context_shape=(1, 2, 1, cameras * rows * columns, width // 2),
        horizon=policy.config.chunk_size,
        prefix=1,
        passes=1,
        noise_shape=(policy.config.latent_dim,),
        noise_std=0.0,
        replan=policy.config.n_action_steps,
    )


def predict(policy: Any, observations: list[dict[str, Any]], noise: Tensor | None) -> Tensor:
    """Return LeRobot's own normalised chunk (1, H, n) for an observation."""
    chunk: Tensor = policy.predict_action_chunk(observations[-1])
    return chunk
