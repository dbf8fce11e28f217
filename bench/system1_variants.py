"""Networks of a bundle's sizes with random weights, and System 1 as it would be without precomputed keys and values."""

import torch
from torch import Tensor, nn

from so_arm_policy.core.errors import BundleError
from so_arm_policy.learn.flow import FlowConfig, FlowExpert
from so_arm_policy.policy.manifest import Manifest


def flow_like(manifest: Manifest) -> FlowExpert:
    """Return an expert of the manifest's sizes. Raises BundleError when its number of parameters is another."""
    if manifest.family != "flow":
        raise BundleError(f"bundle {manifest.id!r}: got family {manifest.family!r}, expected 'flow'")
    layers, _, heads, tokens, head_size = manifest.context_shape
    flow = FlowExpert(
        FlowConfig(
            joints=len(manifest.joints),
            horizon=manifest.horizon,
            prefix=manifest.prefix,
            steps=manifest.flow_steps,
            context_width=heads * head_size,
            context_tokens=tokens,
            width=heads * head_size,
            heads=heads,
            layers=layers,
        )
    )
    got = sum(p.numel() for p in flow.parameters()) - sum(p.numel() for p in flow.context.parameters())
    expected = manifest.training.get("system1_parameters")
    if got != expected:
        raise BundleError(f"bundle {manifest.id!r}: got {got} parameters from its sizes, expected {expected}")
    return flow.eval().requires_grad_(requires_grad=False)


def tokens_like(flow: FlowExpert) -> Tensor:
    """Return context tokens (N, d) as System 2 makes them, drawn at random."""
    return torch.randn(flow.config.context_tokens, flow.config.context_width)


class FromTokens(nn.Module):
    """`act` from context tokens: keys and values are projected once an inference, or again in every flow step."""

    def __init__(self, flow: FlowExpert, each_step: bool) -> None:
        """Wrap the expert."""
        super().__init__()
        self.flow, self.each_step = flow, each_step

    def forward(self, tokens: Tensor, state: Tensor, noise: Tensor, prefix: Tensor) -> Tensor:
        """Context tokens (N, d), state (n,), noise (H, n), prefix (P, n). Returns positions (H, n) rad."""
        tokens, state, noise, prefix = (t.unsqueeze(0) for t in (tokens, state, noise, prefix))
        if not self.each_step:
            return self.flow.act(self.flow.project(tokens), state, noise, prefix).squeeze(0)
        return self._act_each_step(tokens, state, noise, prefix).squeeze(0)

    def _act_each_step(self, tokens: Tensor, state: Tensor, noise: Tensor, prefix: Tensor) -> Tensor:
        """As FlowExpert.act, with the projection inside the loop.

        Each step projects slightly different tokens, else the export would notice that the results are equal.
        """
        flow = self.flow
        base, p, steps = prefix[:, 0], flow.config.prefix, flow.config.steps
        given = flow.encode_rows(prefix, base)
        x = torch.cat([given, noise[:, p:]], dim=1)
        done = torch.ones_like(noise[:, :p, 0])
        for step in range(steps):
            tau = torch.cat([done, torch.full_like(noise[:, p:, 0], step / steps)], dim=1)
            keys_values = flow.project(tokens + 1e-6 * step)
            moved = x + flow.velocity(x, tau, keys_values, state, base) / steps
            x = torch.cat([given, moved[:, p:]], dim=1)
        return torch.cat([prefix, base.unsqueeze(1) + x[:, p:] * flow.action_std], dim=1)
