"""How the learning rate goes: a warm-up, then a cosine, or steps down whenever the validation loss stops falling."""

from __future__ import annotations

import math

from clusterml.training.config import ScheduleConfig


def share_of_rate(config: ScheduleConfig, epoch: float, steps_down: int) -> float:
    """The learning rate at ``epoch`` (a fraction within one), as a share of the configured one.

    ``steps_down``: see :func:`plateau_steps`; a cosine does not look at it.
    """
    rise = min(1.0, epoch / config.warmup_epochs) if config.warmup_epochs > 0.0 else 1.0
    if config.kind == "plateau":
        return rise * max(config.floor, config.factor**steps_down)
    length = max(config.epochs - config.warmup_epochs, 1e-9)
    progress = min(1.0, max(0.0, epoch - config.warmup_epochs) / length)
    return rise * (config.floor + (1.0 - config.floor) * 0.5 * (1.0 + math.cos(math.pi * progress)))


def plateau_steps(config: ScheduleConfig, losses: list[float]) -> int:
    """How often the rate of a plateau schedule has stepped down after epochs with these validation ``losses``.

    A step follows ``patience`` epochs in which none was better than the best before, and then counting begins anew.
    """
    best, waited, steps = math.inf, 0, 0
    for loss in losses:
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited >= config.patience:
            steps, waited = steps + 1, 0
    return steps
