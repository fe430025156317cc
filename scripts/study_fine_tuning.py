"""A cluster that a network has not seen, before and after fine-tuning on a few of its labels.

Takes a network of a ``parent`` split and a family that it held out, draws ``--labels`` of the family's records at
random (a tenth of them for validation), fine-tunes the network on these, and judges both on the family's other records,
beside the baselines that know the same few labels.  Writes the tables and figures of ``clusterml evaluate``, and keeps
what is finished, so that an interrupted run goes on.

    OMP_NUM_THREADS=1 python scripts/study_fine_tuning.py results/parent/release datasets/ag-sr-v1 --family ag32
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from clusterml.dataset.reader import Dataset
from clusterml.dataset.sameness import together
from clusterml.dataset.splits import Split, leaks, load_split, save_split
from clusterml.errors import DatasetError, OptionError
from clusterml.inference.evaluator import Evaluator
from clusterml.spectrum.files import make_folder
from clusterml.training.config import load_config
from clusterml.training.run import train
from clusterml.training.tables import write_evaluations

ROOT = Path(__file__).parents[1]
TRAIN = ROOT / "configs" / "train" / "ag-sr-s.yaml"


def drawn(dataset, family, labels, method):
    """A split of the family's records with ``labels`` to learn from; records of one geometry stay together."""
    homes = together(dataset)
    columns = zip(dataset.ids, homes, dataset.column("family"), dataset.column("method"), strict=True)
    own = [(name, home) for name, home, group, protocol in columns if (group, protocol) == (family, method)]
    if len(own) < 2 * labels:
        raise OptionError(f"{family} has {len(own)} records", "ask for fewer labels")
    order = np.random.default_rng(0).permutation(sorted({home for _, home in own})).tolist()
    taken = set(order[:labels])
    held = set(order[: max(1, labels // 10)])
    parts = [[n for n, home in own if home in group] for group in (taken - held, held, set(order) - taken)]
    split = Split("random", 0, *(tuple(part) for part in parts))
    if found := leaks(dataset, split, homes):
        raise DatasetError(f"the split leaks: {found[0]}", "see clusterml dataset split")
    return split


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--family", required=True)
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--lr", type=float, default=0.002)
    parser.add_argument("--method", default="gfn1")
    parser.add_argument("--output", type=Path, default=Path("results/fine-tuning"))
    given = parser.parse_args()
    if given.family not in load_split(given.network / "split.json").unseen:
        raise OptionError(f"{given.network} has seen {given.family}", "give a network whose split held it out")
    folder = make_folder(given.output.resolve() / f"{given.family}-{given.labels}")
    dataset = Dataset(given.dataset)
    split = drawn(dataset, given.family, given.labels, given.method)
    save_split(split, folder / "split.json")
    options = [f"name=tuned-{given.family}", f"init_from={given.network}", "network={}", "ema=0.98"]
    options += [f"data.dataset={given.dataset}", f"data.split={folder / 'split.json'}"]
    options += [f"optimizer.lr={given.lr}", f"schedule.epochs={given.epochs}"]
    run = folder / "tuned"
    if not (run / "release").exists():
        train(load_config(TRAIN, options), run, resume=run.exists(), device="cpu")
    evaluator = Evaluator(run / "release", given.dataset, device="cpu")
    found = evaluator.evaluate(folder.name, split, [given.network])
    write_evaluations([found], evaluator.name, folder)
    print((folder / "evaluation.md").read_text())


if __name__ == "__main__":
    main()
