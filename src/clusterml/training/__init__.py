"""Training: targets, losses, the loop that can be killed and resumed, checkpoints, metrics and baselines."""
