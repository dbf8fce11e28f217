"""Networks of a bundle's sizes with random weights, and System 1 as it would be without precomputed keys and values."""

import torch
from torch import Tensor, nn

from so_arm_policy.core.errors import BundleError
from so_arm_policy.learn.families.flow import FlowConfig, FlowExpert
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
            steps=manifest.passes,
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
        once = self.flow.project(tokens)

        def keys_values(step: int) -> Tensor:
            # Slightly other tokens in each step, else the export would notice that the results are equal.
            return self.flow.project(tokens + 1e-6 * step) if self.each_step else once

        return self.flow.denoise(keys_values, state, noise, prefix).squeeze(0)
