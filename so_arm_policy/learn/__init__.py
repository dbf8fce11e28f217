"""Training and export of policies; the only part that imports torch.

demonstrations/: what there is to learn from, collected in the simulator or recorded. datasets/: LeRobot's files.
lessons/: what these teach the two systems: batches and objectives. families/: the kinds of System 1.
blocks.py and its neighbours: the transformer library; scene_encoder.py, System 2, is made of it.
loop.py, train.py, recipe.py: one loop, one training of each system, and all from demonstrations to a bundle.
export.py, int8.py: networks to ONNX. scaling/: grids of trainings. *_command.py: what `so-arm` offers.
"""
