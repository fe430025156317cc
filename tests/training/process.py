"""A training run of the tiny network in a process of its own: CONFIG FOLDER [KEY=VALUE ..]; says every batch."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tiny import tiny_architecture

from clusterml.training.config import load_config
from clusterml.training.run import train

if __name__ == "__main__":
    file, folder, *words = sys.argv[1:]
    train(
        load_config(file, words),
        folder,
        resume=True,
        device="cpu",
        architecture=tiny_architecture(),
        watch=lambda progress: print(f"epoch {progress.epoch}, batch {progress.batch}", flush=True),
    )
