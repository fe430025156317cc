"""The network on a GPU: the same predictions as on the CPU, and training in every precision."""

from __future__ import annotations

import math

import numpy as np
import pytest

import clusterml
from clusterml.training.config import load_config
from clusterml.training.release import open_release
from clusterml.training.run import train

pytestmark = pytest.mark.gpu

CONFIG = """
name: small
seed: 3
network: {{channels: 4, n_radial: 4, radial_width: 8}}
data: {{dataset: {dataset}, split: {split}}}
optimizer: {{lr: 0.005}}
schedule: {{epochs: 3, warmup_epochs: 1}}
batches: {{edges: 4000, structures: 4}}
ema: 0.5
"""


def test_the_gpu_predicts_the_same(checkpoint, make_molecule):
    structures = [make_molecule(name) for name in ("agsch3", "ag2_tfa2", "h2o2")]
    gpu, cpu = (clusterml.Predictor.load(checkpoint, device)(structures) for device in ("cuda", "cpu"))
    for ours, reference in zip(gpu, cpu, strict=True):
        for field in ("epsilon", "delta_epsilon"):
            a, b = getattr(ours.spectrum, field), getattr(reference.spectrum, field)
            np.testing.assert_allclose(a, b, atol=1e-3 * np.abs(b).max())
        assert ours.gap_ev == pytest.approx(reference.gap_ev, abs=1e-3)


def test_a_batch_on_the_gpu_gives_what_single_structures_give(checkpoint, make_molecule):
    predictor = clusterml.Predictor.load(checkpoint, "cuda")
    structures = [make_molecule(name) for name in ("agsch3", "ag2_tfa2", "h2o2")] * 4
    for ours, alone in zip(predictor(structures), map(predictor, structures), strict=True):
        scale = np.abs(alone.spectrum.epsilon).max()
        np.testing.assert_allclose(ours.spectrum.epsilon, alone.spectrum.epsilon, atol=1e-3 * scale)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_the_gpu_learns_in_every_precision(dataset, split_file, tmp_path, precision):
    config = tmp_path / "run.yaml"
    config.write_text(CONFIG.format(dataset=dataset, split=split_file))
    losses = {}
    for device, words in (("cpu", ()), ("cuda", (f"precision={precision}",))):
        done = train(load_config(config, words), tmp_path / device, device=device)
        assert done.skipped == 0
        losses[device] = done.row["validation_loss"]
        assert all(bool(value.isfinite().all()) for value in open_release(done.release).networks[0].values())
    assert math.isfinite(losses["cuda"])
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=0.01 if precision == "float32" else 0.1)
