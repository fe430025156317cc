"""One round of active learning: does labelling the least certain candidates teach more than labelling random ones?

Screens configs/screen/new-thiolates.yaml with a checkpoint, and labels three sets of its candidates: ``held-out`` ones
and as many ``random`` ones, both drawn at random, and of what is left those the network is least certain of
(``uncertain``).  From each of the last two every member of the checkpoint is fine-tuned (and from both together), and
all are judged on the held-out candidates.  Prints the table of docs/guide/screening.md.  Whatever is finished is kept in the
folder, so that an interrupted run goes on.

    OMP_NUM_THREADS=1 python scripts/study_active_learning.py --output results/active-learning --count 60
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from clusterml.dataset.reader import Dataset
from clusterml.dataset.record import Record
from clusterml.dataset.splits import Split, save_split
from clusterml.dataset.store import Store
from clusterml.inference.checkpoint import load_ensemble
from clusterml.inference.judge import output_of
from clusterml.locks import exclusive
from clusterml.screening.config import load_screen
from clusterml.screening.rows import rows_in
from clusterml.screening.run import RESULTS, screen
from clusterml.screening.uncertain import least_certain, record_of_candidate
from clusterml.spectrum.files import make_folder
from clusterml.spectrum.log import Log
from clusterml.training.config import load_config
from clusterml.training.library import find_release
from clusterml.training.members import train_members
from clusterml.training.targets import SPECTRA, Wanted, broadening_matrix

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "screen" / "new-thiolates.yaml"
TRAIN = ROOT / "configs" / "train" / "ag-sr-s.yaml"
SETS = ("held-out", "random", "uncertain")


def chosen(done, count):
    """Rows of the candidates of each set; no candidate is in two."""
    rows = list(rows_in(Log(done.folder / RESULTS)))
    order = np.random.default_rng(1).permutation(len(rows))
    drawn = [rows[k] for k in order[: 2 * count]]
    left = least_certain((rows[k] for k in order[2 * count :]), done.run.bench.space, done.run.bench.merit, count)
    return dict(zip(SETS, (drawn[:count], drawn[count:], left), strict=True))


def labelled(done, rows, folder):
    """The dataset of these candidates; those it has already are not labelled again."""
    store = Store(folder)
    with exclusive(store.folder):
        known = store.finished()
        failed = 0
        for number, row in enumerate(rows, start=1):
            name = f"{done.run.fingerprint[:8]}-{row.number:07d}"
            if any(name in each for each in known):
                continue
            found = record_of_candidate(done.run.bench.setting, done.run.fingerprint, row)
            failed += not isinstance(found, Record)
            if isinstance(found, Record):
                store.add(found)
            print(f"{folder.name}: {number} of {len(rows)}", flush=True)
        store.pack({"name": folder.name} if not known else None)
    print(f"{folder.name}: {failed} candidates have no label", flush=True)
    return Dataset(folder)


def merged(parts, folder):
    """The records of several datasets as one."""
    store = Store(folder)
    if not store.finished():
        with exclusive(store.folder):
            for part in parts:
                for record in part:
                    store.add(record)
            store.pack({"name": folder.name})
    return Dataset(folder)


def tuned(model, dataset, folder, epochs):
    """Every member of the checkpoint ``model`` fine-tuned on ``dataset``, as one checkpoint."""
    split = make_folder(folder) / "split.json"
    held = len(dataset) // 10
    save_split(Split("random", 0, dataset.ids[held:], dataset.ids[:held], ()), split)
    options = [f"name={folder.name}", f"init_from={model}", f"data.dataset={dataset.folder}", f"data.split={split}"]
    options += ["optimizer.lr=0.002", f"schedule.epochs={epochs}", "network={}", "ema=0.98"]
    return train_members(load_config(TRAIN, options), folder, resume=True, device="cpu")[0]


def judged(folder, records):
    """Median cosine and share of the squared spectrum that is missed, of absorption and CD."""
    ensemble = load_ensemble(folder, "cpu")
    output = output_of(ensemble, records)
    matrix = broadening_matrix(ensemble.energy_ev, float(ensemble.spec["fwhm_ev"]))
    columns = Wanted().columns()
    found = {}
    for key in SPECTRA:
        truth = np.stack([matrix @ getattr(record, columns[key]) for record in records])
        said = getattr(output, key).mean(axis=0)
        cosine = np.sum(truth * said, axis=1) / np.sqrt(np.sum(truth**2, axis=1) * np.sum(said**2, axis=1))
        found[key] = (float(np.median(cosine)), float(np.sum((said - truth) ** 2) / np.sum(truth**2)))
    return found


def main() -> None:
    """Run the study and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ag-sr-v1")
    parser.add_argument("--output", type=Path, default=Path("results/active-learning"))
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    folder = options.output.resolve()
    done = screen(load_screen(CONFIG), folder / "screen", model=options.model, resume=(folder / "screen").exists())
    rows = chosen(done, options.count)
    parts = {name: labelled(done, rows[name], folder / name) for name in SETS}
    parts["both"] = merged([parts["random"], parts["uncertain"]], folder / "both")
    records = list(parts["held-out"])
    models = {"as shipped": find_release(options.model)}
    for name in ("random", "uncertain", "both"):
        models[name] = tuned(options.model, parts[name], folder / f"tuned-{name}", options.epochs)
    print(f"\n{len(records)} held-out candidates\n")
    print("| labels learnt from | records | absorption cosine | error | CD cosine | error |\n|---|---|---|---|---|---|")
    table = {}
    for name, model in models.items():
        table[name] = judged(model, records)
        (cosine, error), (cd_cosine, cd_error) = (table[name][key] for key in SPECTRA)
        count = len(parts[name]) if name in parts else 0
        print(f"| {name} | {count} | {cosine:.3f} | {error:.3f} | {cd_cosine:.2f} | {cd_error:.2f} |")
    (folder / "table.json").write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
