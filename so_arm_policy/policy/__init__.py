"""Learned policies at run time: bundles, System 2 and System 1; onnxruntime only."""
