"""A training run from its configuration to its folder: loop, checkpoints, record, speed."""
