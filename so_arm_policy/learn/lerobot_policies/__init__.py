"""Policies that LeRobot trained, as bundles: ACT, Diffusion Policy and SmolVLA."""
