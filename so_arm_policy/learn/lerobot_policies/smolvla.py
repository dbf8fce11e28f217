"""LeRobot's SmolVLA in two parts: pictures and words to the language model's keys and values, and those to a chunk.

The state is the last token of SmolVLA's prompt, and no other token attends to it. It belongs to System 1, which lets
that one token through the language model's layers, since a chunk must follow from where the arm is now. So both graphs
hold those layers' weights.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from so_arm_policy.learn.lerobot_policies.loading import part
from so_arm_policy.learn.lerobot_policies.parts import Converted, Joints, Pictures


class FixedVision(nn.Module):
    """SmolVLM's vision tower and connector for pictures of one size.

    The tower's own embedding works out at run time which position a patch has, and that cannot be exported.
    """

    positions: Tensor

    def __init__(self, model: Any, picture: Tensor) -> None:
        """model: SmolVLMModel; picture: an example, (1, 3, H, W)."""
        super().__init__()
        tower = model.vision_model
        self.embed, self.encoder, self.norm = tower.embeddings.patch_embedding, tower.encoder, tower.post_layernorm
        self.connector = model.connector
        seen: list[Tensor] = []
        hook = tower.embeddings.position_embedding.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        with torch.no_grad():
            model.vision_model(pixel_values=picture, patch_attention_mask=None)
            hook.remove()
            self.register_buffer("positions", tower.embeddings.position_embedding(seen[0]))

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (C, 3, H, W) in -1..1 to tokens (C, T, d)."""
        patches = self.embed(pictures).flatten(2).transpose(1, 2) + self.positions
        said: Tensor = self.connector(self.norm(self.encoder(inputs_embeds=patches).last_hidden_state))
        return said


class PromptEncoder(nn.Module):
    """Keys and values of every layer of the language model for pictures and words.

    One layer more says which tokens are there: 1 for those, 0 for padding.
    """

    def __init__(self, model: Any, pictures: Pictures, size: tuple[int, int]) -> None:
        """model: lerobot's VLAFlowMatching."""
        super().__init__()
        self.pictures, self.model, self.both = pictures, model, model.vlm_with_expert
        self.target = model.config.resize_imgs_with_padding
        with torch.no_grad():
            example = self._fitted(torch.zeros(1, 3, *size))
            self.vision = FixedVision(self.both.get_vlm_model(), example)

    def _fitted(self, pictures: Tensor) -> Tensor:
        """After lerobot's resize_with_pad and prepare_images."""
        if self.target is not None:
            (width, height), (own_height, own_width) = self.target, pictures.shape[2:]
            ratio = max(own_width / width, own_height / height)
            inner = int(own_height / ratio), int(own_width / ratio)
            pictures = F.interpolate(pictures, size=inner, mode="bilinear", align_corners=False)
            pictures = F.pad(pictures, (max(0, width - inner[1]), 0, max(0, height - inner[0]), 0), value=0.0)
        return pictures * 2.0 - 1.0

    def prompt(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens of the prompt, (1, N, d), and which of them are there, (1, N)."""
        seen = self.vision(self._fitted(self.pictures(images)))
        seen = seen * torch.tensor(seen.shape[-1] ** 0.5, dtype=seen.dtype)
        embed = self.both.embed_language_tokens
        parts = []
        for one in seen:
            if self.model.add_image_special_tokens:
                one = torch.cat([embed(self.model.global_image_start_token), one, embed(self.model.image_end_token)])
            parts.append(one)
        if self.model.add_image_special_tokens:
            # LeRobot masks the patches of cameras that are not there, but not the tokens around them.
            around = torch.cat([embed(self.model.global_image_start_token), embed(self.model.image_end_token)])
            parts += [around] * self.model.config.empty_cameras
        words = embed(tokens) * seen.shape[-1] ** 0.5
        pictured = torch.cat(parts)
        there = torch.cat([torch.ones(len(pictured), dtype=torch.bool), tokens != 0])
        return torch.cat([pictured, words])[None], there[None]

    def forward(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Return (layers + 1, 2, h, N, c)."""
        prompt, there = self.prompt(images, tokens)
        _, cache = self.both.forward(
            attention_mask=there[:, None, :] & there[:, :, None],
            position_ids=torch.cumsum(there.long(), dim=1) - 1,
            past_key_values=None,
            inputs_embeds=[prompt, None],
            use_cache=True,
            fill_kv_cache=True,
        )
        layers = [torch.stack([cache[i]["key_states"][0], cache[i]["value_states"][0]]) for i in range(len(cache))]
        mask = there[0].float()[None, :, None, None].expand_as(layers[0])
        return torch.stack([*layers, mask]).transpose(2, 3)


class FlowActor(nn.Module):
    """The state's token, and Euler steps of LeRobot's action expert."""

    def __init__(self, model: Any, joints: Joints) -> None:
        """model: lerobot's VLAFlowMatching."""
        super().__init__()
        self.joints, self.model, self.both = joints, model, model.vlm_with_expert
        self.config = model.config

    def forward(self, keys_values: Tensor, state: Tensor, noise: Tensor, prefix: Tensor) -> Tensor:
        """See so_arm_policy.policy.graphs.system1_spec; noise: (H, widest action)."""
        by_token = keys_values.transpose(2, 3)
        there = torch.cat([by_token[-1, 0, :, 0, 0] > 0.5, torch.ones(1, dtype=torch.bool)])[None]
        cache = self._with_state(by_token[:-1], there, self.joints.seen(state))
        x, steps = noise[None], self.config.num_steps
        for step in range(steps):
            time = torch.tensor([1.0 + step * (-1.0 / steps)], dtype=torch.float32)
            x = x - self.model.denoise_step(there, cache, x, time) / steps
        return self.joints.positions(x[0, :, : len(self.joints.columns)], prefix)

    def _with_state(self, layers: Tensor, there: Tensor, state: Tensor) -> dict[int, dict[str, Tensor]]:
        """Return the prompt's keys and values with those of the state's token, (1, N + 1, h, c) for each layer."""
        rope, attend = part("policies.smolvla.smolvlm_with_expert", "apply_rope"), self.both.eager_attention_forward
        padded = F.pad(state, (0, self.config.max_state_dim - len(state)))
        x = self.model.state_proj(padded[None])[:, None]
        place, cache = there.long().sum(dim=1, keepdim=True) - 1, {}
        for i, layer in enumerate(self.both.get_vlm_model().text_model.layers):
            attention, size = layer.self_attn, layer.self_attn.head_dim
            told = layer.input_layernorm(x)
            query, key, value = (
                project(told).view(1, 1, -1, size) for project in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            keys = torch.cat([layers[i, 0][None], rope(key, place)], dim=1)
            values = torch.cat([layers[i, 1][None], value], dim=1)
            cache[i] = {"key_states": keys, "value_states": values}
            x = x + attention.o_proj(attend(there[:, None, :], 1, size, rope(query, place), keys, values))
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return cache


def convert(policy: Any, joints: Joints, pictures: Pictures, size: tuple[int, int], tokens: int) -> Converted:
    """Take lerobot's SmolVLAPolicy apart. size: of the pictures, (height, width); tokens: L of an instruction."""
    config, encoder = policy.config, PromptEncoder(policy.model, pictures, size)
    with torch.no_grad():
        images = torch.zeros(len(pictures.shift), *size, 3, dtype=torch.uint8)
        layers, two, heads, length, width = encoder(images, torch.ones(tokens, dtype=torch.int64)).shape
    return Converted(
        family="flow",
        encoder=encoder,
        actor=FlowActor(policy.model, joints),
        context_shape=(layers, two, heads, length, width),
        horizon=config.chunk_size,
        prefix=1,
        passes=config.num_steps,
        noise_shape=(config.chunk_size, config.max_action_dim),
        noise_std=1.0,
        replan=config.n_action_steps,
    )


def predict(policy: Any, observations: list[dict[str, Any]], noise: Tensor | None) -> Tensor:
    """Return LeRobot's own normalised chunk (1, H, n) for an observation and noise (H, widest action)."""
    assert noise is not None
    chunk: Tensor = policy.predict_action_chunk(observations[-1], noise=noise[None])
    return chunk
