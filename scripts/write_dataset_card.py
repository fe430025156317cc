"""The card of a labelled dataset, from what is in it: README.md, LICENSE and two figures in its folder.

Composition, distributions, failures and speed are counted anew each time; what the labels say about the science is
taken from the page that scripts/study_dataset.py wrote, so run that one first.

    python scripts/write_dataset_card.py datasets/ag-sr-v1
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np

from clusterml.dataset.campaign import load_campaign, plan
from clusterml.dataset.ledger import Ledger
from clusterml.dataset.record import FWHM_EV, GRID_EV, KINDS
from clusterml.dataset.splits import load_split
from clusterml.dataset.summary import summary
from clusterml.spectrum.files import write_text
from dataset_checks.cardfigures import distributions, examples
from dataset_checks.data import load, table

ROOT = Path(__file__).parents[1]
WITH_TABLE = ("achiral", "bands")
"""Words of the questions whose tables are in the card; the others have theirs on the page it links to."""
RANGES = {
    "n_atoms": "atoms",
    "gap_ev": "HOMO-LUMO gap / eV",
    "lowest_ev": "lowest excitation / eV",
    "epsilon_max": "max ε / L mol⁻¹ cm⁻¹",
    "delta_epsilon_max": "max abs(Δε) / L mol⁻¹ cm⁻¹",
    "g_max": "max abs(g), where ε is above 2 % of its maximum",
    "ccm_frame": "CCM of metals and donors",
    "misfit_frame": "their misfit to the mirror image / Å",
    "opd": "signed index, all atoms",
    "opd_local": "local signed index, all atoms",
    "opd_frame": "signed index, metals and donors",
    "opd_local_frame": "local signed index, metals and donors",
}

CARD = """# {name}

{title}.
{records} records (labelled geometries, with mirror images and second labels) of {parents} parent clusters in {families} families, {size:.0f} MB. {state}

**These are model geometries with semi-empirical labels**, for teaching networks and for trends: not crystal structures, and
not measured spectra.

## How it was made

Parents are model structures of this project ([how far to trust them](../../docs/guide/models.md)): built, or the files in `parents/`.
Each is distorted, perhaps after some of its ligands were exchanged, and labelled. All random numbers follow from the seed
{seed} and the name of a job.

| kind | geometry |
|---|---|
| reference | the parent |
| mode | 1 to {most_modes} collective distortions, each normal with a width of {scale:g} typical amounts; {strong:.0%} of the jobs instead one strong distortion, uniform up to {strong_scale:g} typical amounts; then thermal noise of {noise:g} Å rms{dressed} |
| thermal | a snapshot of an elastic network at {kelvin} K |
| ensemble | the parent's geometry, perhaps with ligands exchanged{distorted}; the spectrum is the mean over {snapshots} snapshots at one of these temperatures |

A geometry that breaks bonds or lets atoms clash is drawn again, milder, up to six times. A ground state with a gap below
{gap:g} eV is rejected.

Labels: `{first}` (GFN-xTB orbitals in vacuum and their linear response, or sTDA-xTB) up to {emax:g} eV, {dtype}, solver
tolerance {tolerance:g}; every {every}th job also `{second}`, where its gap allows{others}. Spectra from {low:.2f} to {high:.2f} eV in steps
of {step:.2f} eV, Gaussians of {fwhm:.2f} eV (fwhm). {precision}

What a record holds: [docs/guide/datasets.md](../../docs/guide/datasets.md).

## What is in it

Records by family and kind (mirror images and second labels counted):

{composition}

By parent; seconds are the median over jobs that labelled one geometry, on the machine below. Ag70 is
the reason why some counts are small: its labels cost what {dearest:.0f} labels of the cheapest parent cost.

{parent_table}

By ligand shell (the ten most frequent of each family):

{shells}

{ranges}

![Distributions](figures/distributions.png)

![Example spectra: CD of one record of each kind, and an absorption spectrum](figures/examples.png)

## What was rejected, and what failed

{outcomes}

## Speed

{speed}

## What the labels say

All tables: [docs/science/labels.md]({page}).

{findings}

## Splits

{splits}

Records of one geometry (mirror images, both protocols, thermal averages about it) stay on one side; `clusterml dataset split`
draws and checks the splits.

## Known limits

* Parents are models: ligands are packed and relaxed by a force field or GFN1-xTB, frames follow published facts, not
  coordinates. Large clusters carry small ligands (SH, SCH3, HCOO, PH3, PMe3, Cl) in most records, in place of SiPr, SPhMe2,
  CF3COO, PPh3, which changes charges, gaps and spectra.
* Fewer than 200 records: Ag70 (with trifluorolactate a handful), Ag29 with BDT, BDTA or its full shell, larger clusters with mixed
  ligands, Ag12 with SiPr. The table by parent says how many, and what one label of each costs.
* Charges vary with the ligands only (carboxylates of BDTA among them): other closed superatom shells of the same clusters
  (Ag25 with 6 electrons, Ag70 with 18) have no gap in GFN1-xTB.
* No Ag70 with its full shell: GFN1-xTB did not reach self-consistency for the 514-atom model in 25 minutes, sTDA-xTB gives it a gap of
  0.006 eV (0.001 and 0.025 eV with the other two full shells); the model's frame, not the cluster, is the likely reason.
* Thermal motion is that of a harmonic elastic network, not a molecular dynamics: no anharmonic motion, no ligand exchange.
* GFN1-xTB response without exact exchange: bands are off by several tenths of an eV, charge-transfer bands are too low, and
  a weak CD band may have the wrong sign. No spin-orbit coupling, no solvent, no vibronic structure.
* CD of one snapshot is a small difference of large numbers and forgets its geometry fast (see above); ensemble records are
  what compares with a solution.
* Pseudo-states of the solver: `lowest_*` hold the lowest of them, which are excitations only where these stand alone.
* The tensors lack the electric-quadrupole part that light in an oriented sample also sees.
* Hands R and S follow our reading of the papers for Ag29; P and M are arbitrary labels.

## Verify, regenerate

```bash
clusterml dataset verify datasets/{name} --share 0.01
clusterml dataset info datasets/{name}
clusterml dataset generate configs/campaigns/{name}.yaml -o somewhere --workers 2     # again from nothing
python scripts/study_dataset.py datasets/{name} && python scripts/write_dataset_card.py datasets/{name}
```

The same campaign gives the same geometries to the last bit on one platform, and labels to the precision above.

## Licence

[CC-BY-4.0](LICENSE). Please cite the program ([CITATION.cff](../../CITATION.cff)).
"""  # noqa: E501


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--campaign", type=Path, help="default: configs/campaigns/NAME.yaml")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "science" / "labels.md")
    parser.add_argument("--licence", type=Path, default=ROOT / "datasets" / "CC-BY-4.0.txt")
    given = parser.parse_args()
    found, data = summary(given.dataset), load(given.dataset)
    campaign = load_campaign(given.campaign or ROOT / "configs" / "campaigns" / f"{found['name']}.yaml")
    figures = given.dataset / "figures"
    distributions(data, figures / "distributions.png")
    examples(data, figures / "examples.png")
    shutil.copyfile(given.licence, given.dataset / "LICENSE")
    dataset = data.dataset
    rows, cheapest, dearest = parent_rows(given.dataset, dataset, campaign)
    write_text(
        given.dataset / "README.md",
        CARD.format(
            **settings(campaign),
            name=found["name"],
            records=found["records"],
            parents=len(found["counts"]["parent"]),
            families=len(found["families"]),
            size=sum(path.stat().st_size for path in (given.dataset / "shards").glob("*.h5")) / 1e6,
            state=state(found, campaign),
            precision=finding(given.page, "precise"),
            composition=composition(found),
            parent_table=rows,
            dearest=dearest / cheapest,
            shells=shells(dataset),
            ranges=ranges(found),
            outcomes=outcomes(given.dataset),
            speed=speed(given.dataset),
            page=os.path.relpath(given.page, given.dataset),
            findings=findings(given.page, given.dataset),
            splits=splits(given.dataset),
        ),
    )
    print(given.dataset / "README.md")


def settings(campaign):
    """What the campaign file decides."""
    amounts, first, second = campaign.amounts, campaign.protocol, campaign.second_protocol
    return {
        "title": campaign.title,
        "seed": campaign.seed,
        "most_modes": amounts.most_modes,
        "scale": amounts.scale,
        "strong": amounts.strong,
        "strong_scale": amounts.strong_scale,
        "noise": amounts.noise_a,
        "kelvin": ", ".join(f"{kelvin:g}" for kelvin in amounts.temperatures_k),
        "snapshots": amounts.snapshots,
        "dressed": dressed(campaign),
        "distorted": distorted(campaign),
        "gap": campaign.smallest_gap_ev,
        "first": first.name,
        "second": second.name if second else "none",
        "every": campaign.second_every,
        "others": other_protocols(campaign),
        "emax": first.emax_ev,
        "dtype": first.dtype,
        "tolerance": first.tolerance,
        "low": GRID_EV[0],
        "high": GRID_EV[-1],
        "step": GRID_EV[1] - GRID_EV[0],
        "fwhm": FWHM_EV,
    }


def distorted(campaign):
    """Which parents' ensembles are about distorted geometries."""
    names = [name for name, parent in campaign.parents.items() if parent.distorted_ensembles]
    return f", and distorted as for `mode` ({', '.join(names)})" if names else ""


def dressed(campaign):
    """Which parents' jobs of kind mode may be undistorted."""
    names = [name for name, parent in campaign.parents.items() if parent.undistorted]
    return f"; or nothing but exchanged ligands, in a share of the jobs of {', '.join(names)}" if names else ""


def other_protocols(campaign):
    """Which parents are labelled in another way."""
    names = [f"{name} with `{parent.protocol.name}`" for name, parent in campaign.parents.items() if parent.protocol]
    return f"; {', '.join(names)} only" if names else ""


def state(found, campaign):
    """How far the campaign came."""
    planned, done = sum(1 for _ in plan(campaign)), found["jobs"].get("done", 0)
    rejected, failed = found["jobs"].get("rejected", 0), found["jobs"].get("failed", 0)
    if done + rejected >= planned:
        return f"All {planned} jobs of the campaign are finished, {rejected} of them rejected."
    rest = f"{rejected} rejected, {failed} failed"
    order = "References come first, then parents take turns."
    return f"The campaign is not finished: {done} of {planned} jobs are done ({rest}). {order}"


def composition(found):
    """Records by family and kind."""
    kinds = [kind for kind in KINDS if any(row[kind] for row in found["families"].values())]
    rows = [(family, *(row[kind] for kind in kinds), sum(row.values())) for family, row in found["families"].items()]
    total = [sum(row[kind] for row in found["families"].values()) for kind in kinds]
    return table(("family", *kinds, "all"), [*rows, ("**all**", *total, sum(total))])


def parent_rows(folder, dataset, campaign):
    """A row for each parent; and the median seconds of the cheapest and the dearest one."""
    seconds = seconds_of(folder)
    columns = {name: np.array(dataset.column(name)) for name in ("parent", "hand", "method", "charge", "n_atoms")}
    mirrors = np.array(["mirror_image_of" in details for details in dataset.column("details")])
    rows, medians = [], []
    for parent, asked in campaign.parents.items():
        own = columns["parent"] == parent
        times = seconds.get(parent, [])
        medians += [np.median(times)] if times else []
        hands = Counter("none" if hand == "0" else hand for hand in columns["hand"][own].tolist())
        atoms = columns["n_atoms"][own]
        rows.append(
            (
                parent,
                asked.family,
                ", ".join(f"{charge:+d}" for charge in np.unique(columns["charge"][own])) or "-",
                f"{atoms.min()}-{atoms.max()}" if own.any() else "-",
                sum(asked.counts.values()),
                own.sum(),
                ", ".join(f"{hand}: {count}" for hand, count in hands.items()) or "-",
                (own & mirrors).sum(),
                (own & (columns["method"] != (asked.protocol or campaign.protocol).name)).sum(),
                f"{np.median(times):.1f}" if times else "-",
            )
        )
    head = ("parent", "family", "charge", "atoms", "jobs planned", "records", "hands", "mirror images", "second labels")
    return table((*head, "s per label"), rows), min(medians, default=1.0), max(medians, default=1.0)


def seconds_of(folder):
    """Seconds of the finished jobs of one geometry, by parent."""
    found = {}
    for event in Ledger(folder / "ledger.jsonl").states().values():
        parent, kind, _ = event.job.rsplit("-", 2)
        if event.state == "done" and event.seconds > 0.0 and kind != "ensemble":
            found.setdefault(parent, []).append(event.seconds)
    return found


def shells(dataset):
    """The most frequent ligand shells of each family."""
    counts = {}
    for family, shell in zip(dataset.column("family"), dataset.column("shell"), strict=True):
        counts.setdefault(family, Counter())[shell] += 1
    rows = []
    for family in sorted(counts):
        top = counts[family].most_common(10)
        rest = len(counts[family]) - len(top)
        text = ", ".join(f"{shell} ({count})" for shell, count in top) + (f", {rest} more" if rest else "")
        rows.append((family, len(counts[family]), text))
    return table(("family", "shells", "shell (records)"), rows)


def ranges(found):
    """5 %, median and 95 % of the numbers of a record."""
    rows = []
    for name, values in (found["ranges"] | found["chirality"]).items():
        rows.append((RANGES.get(name, name), *(f"{value:.3g}" for value in values)))
    return table(("quantity", "5 %", "median", "95 %"), rows)


def outcomes(folder):
    """Jobs that were rejected or failed, by parent and reason; numbers in a reason are left out."""
    counts = Counter()
    for event in Ledger(folder / "ledger.jsonl").states().values():
        if event.state in ("rejected", "failed") or event.reason:
            what = event.state if event.state != "done" else "no second label"
            reason = re.sub(r"(?<![\w.])[-+]?\d+(\.\d+)?(e[-+]?\d+)?", "#", event.reason)
            counts[
                what, event.job.rsplit("-", 2)[0], reason.split(": ", 1)[-1] if what == "no second label" else reason
            ] += 1
    if not counts:
        return "Nothing so far."
    rows = [(*key, count) for key, count in sorted(counts.items())]
    return table(("outcome", "parent", "reason", "jobs"), rows)


def speed(folder):
    """Labels per hour, from the times of the ledger."""
    times = [seconds for own in seconds_of(folder).values() for seconds in own]
    if not times:
        return "Not known."
    total = sum(
        event.seconds for event in Ledger(folder / "ledger.jsonl").states().values() if event.state != "planned"
    )
    return (
        f"{len(times)} jobs of one geometry took {sum(times) / 3600.0:.1f} h of one CPU thread each: "
        f"{3600.0 * len(times) / sum(times):.0f} labels per hour and worker, in the mixture of this dataset. With "
        f"ensembles, rejected and failed jobs: {total / 3600.0:.1f} h. Machine: {machine()}; other work ran beside it "
        "at times."
    )


def machine():
    """Processor and number of cores of this machine."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii")
        name = re.search(r"model name\s*: (.*)", text)
        return f"{name[1] if name else 'unknown processor'}, {os.cpu_count()} cores"
    except OSError:
        return f"{os.cpu_count()} cores"


def sections(page):
    """(question, text, table, image line) of the page of findings."""
    if not page.exists():
        return
    for part in page.read_text(encoding="utf-8").split("\n## ")[1:]:
        title, _, body = part.partition("\n")
        lines = body.strip().splitlines()
        yield (
            title.strip(),
            next((line for line in lines if line), ""),
            "\n".join(line for line in lines if line.startswith("|")),
            next((line for line in lines if line.startswith("![")), ""),
        )


def finding(page, word):
    """The text of the question with ``word`` in its title."""
    return next((text for title, text, _, _ in sections(page) if word in title), "")


def findings(page, folder):
    """Every question with its text and figure, some with their tables."""
    parts = []
    for title, text, rows, image in sections(page):
        if "precise" in title:
            continue
        shown = re.sub(r"\]\((.*)\)", lambda m: f"]({os.path.relpath(page.parent / m[1], folder)})", image)
        middle = [rows] if any(word in title for word in WITH_TABLE) else []
        parts.append("\n\n".join([f"**{title}** {text}", *middle, *([shown] if shown else [])]))
    return "\n\n".join(parts) or "Not studied yet: run `scripts/study_dataset.py`."


def splits(folder):
    """The stored splits and their sizes."""
    rows = []
    for path in sorted((folder / "splits").glob("*.json")):
        split = load_split(path)
        sizes = (len(split.train), len(split.validation), len(split.test))
        rows.append((f"`splits/{path.name}`", *sizes, ", ".join(split.unseen) or "distortions"))
    return table(("split", "train", "validation", "test", "unseen in training"), rows) if rows else "None stored."


if __name__ == "__main__":
    main()
