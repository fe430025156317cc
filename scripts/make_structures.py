"""Make datasets/structures: build every model from its blueprint, relax the small ones, write the card.

    python scripts/make_structures.py                  what is missing; relaxations go on where they stopped
    python scripts/make_structures.py --only ag25      files whose name begins so
    python scripts/make_structures.py --no-relax       only build
    python scripts/make_structures.py --force          make them anew
    python scripts/make_structures.py --card           only write the card of what is there

One relaxation at a time; set OMP_NUM_THREADS. A relaxed model keeps its checkpoint in build/structures until it is
done.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from clusterml.engine.relax import RelaxSettings, RelaxStep, relax
from clusterml.errors import ClusterMLError
from clusterml.structure.anatomy.ligands import find_ligands
from clusterml.structure.build.build import build
from clusterml.structure.build.contacts import find_closest_contact, measure_bond_ranges
from clusterml.structure.read import read
from clusterml.structure.write import write_extxyz

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "datasets" / "structures"
WORK = ROOT / "build" / "structures"
SOLVENT = "methanol"


@dataclass(frozen=True)
class Model:
    """File stem, system of the table, blueprint, its options, the most relaxation steps (0: as built), and what is
    held.

    In the Ag29 family the frame is held and only the ligands relax: free, its shell leaves the model
    (docs/guide/models.md).
    """

    stem: str
    system: str
    blueprint: str
    options: dict[str, Any] = field(default_factory=dict)
    steps: int = 0
    fix: Literal["none", "metals", "frame"] = "none"
    mirror_of: str | None = None


SMALL70 = {"thiolate": "SH", "carboxylate": "HCOO"}
FULL70 = {"thiolate": "SiPr", "carboxylate": "CF3COO"}
MODELS = [
    Model("ag12_sch3_hcoo", "Ag12", "ag12", steps=400),
    Model("ag12_sipr_tfa", "Ag12", "ag12", {"thiolate": "SiPr", "carboxylate": "CF3COO"}, steps=200),
    Model("ag25_sch3", "Ag25", "ag25", steps=400),
    Model("ag25_sphme2", "Ag25", "ag25", {"thiolate": "SPhMe2"}),
    Model("ag29_sh_ph3_S", "Ag29", "ag29", {"thiolate": "SH", "hand": "S"}, 40, "frame"),
    Model("ag29_bdt_ph3_S", "Ag29-BDT", "ag29", {"hand": "S"}, 40, "frame"),
    Model("ag29_bdta_ph3_S", "Ag29", "ag29", {"dithiolate": "BDTA", "hand": "S"}),
    Model("ag29_bdt_pph3_S", "Ag29-BDT", "ag29", {"phosphine": "PPh3", "hand": "S"}),
    Model("ag29_bdta_pph3_S", "Ag29", "ag29", {"dithiolate": "BDTA", "phosphine": "PPh3", "hand": "S"}),
    Model("ag32_sh_ph3_S", "Ag32", "ag32", {"thiolate": "SH", "hand": "S"}, 25, "frame"),
    Model("ag32_bdta_ph3_S", "Ag32", "ag32", {"dithiolate": "BDTA", "hand": "S"}),
    Model("ag32_bdta_pme3_S", "Ag32", "ag32", {"dithiolate": "BDTA", "phosphine": "PMe3", "hand": "S"}),
    Model("ag33_sh_ph3_S", "Ag33", "ag33", {"thiolate": "SH", "hand": "S"}, 25, "frame"),
    Model("ag33_bdta_ph3_S", "Ag33", "ag33", {"dithiolate": "BDTA", "hand": "S"}),
    Model("ag33_bdta_pme3_S", "Ag33", "ag33", {"dithiolate": "BDTA", "phosphine": "PMe3", "hand": "S"}),
    Model("ag70_td_cl4", "Ag70 Td", "ag70", {**SMALL70, "cap": "Cl"}),
    Model("ag70_td_hcoo20", "Ag70 Td", "ag70", SMALL70),
    Model("ag70_td_sipr_tfa20", "Ag70 Td", "ag70", FULL70),
    Model("ag70_t_cl4_P", "Rac-Ag70", "ag70-t", {**SMALL70, "cap": "Cl", "hand": "P"}),
    Model("ag70_t_hcoo20_P", "Rac-Ag70", "ag70-t", {**SMALL70, "hand": "P"}),
    Model("ag70_sipr_tfa20_dmf3_P", "Rac-Ag70", "ag70-t", {**FULL70, "solvent": "DMF", "hand": "P"}),
    Model("ag70_sipr_tfa12_R-tfl8_P", "R-/S-Ag70", "ag70-t", {**FULL70, "cap": "R-TFL", "hand": "P"}),
    Model("ag70_sipr_tfa12_S-tfl8_M", "R-/S-Ag70", "ag70-t", {**FULL70, "cap": "S-TFL", "hand": "M"}),
]
_OTHER = {"S": "R", "P": "M"}
MODELS += [
    Model(m.stem[:-1] + _OTHER[m.stem[-1]], m.system, m.blueprint,
          {**m.options, "hand": _OTHER[m.options["hand"]]}, mirror_of=m.stem)
    for m in MODELS if m.options.get("hand") in _OTHER and "tfl" not in m.stem
]  # fmt: skip


def make(model: Model, relaxing: bool) -> str:
    """Make one file; what was done, in words."""
    target = FOLDER / f"{model.stem}.xyz"
    if model.mirror_of is not None:
        return _mirror(model, target)
    atoms = build(model.blueprint, **model.options)
    if model.steps and relaxing:
        WORK.mkdir(parents=True, exist_ok=True)
        settings = RelaxSettings(solvent=SOLVENT, symmetry=True, steps=model.steps, fix=model.fix)

        def show(step: RelaxStep) -> None:
            print(f"  {model.stem} step {step.number} {step.energy_ev:.4f} eV, fmax {step.fmax:.3f}", flush=True)

        atoms = relax(atoms, settings=settings, checkpoint=WORK / f"{model.stem}.json", progress=show).atoms
    elif model.steps:
        return "left for relaxation"
    write_extxyz(atoms, target)
    return atoms.info["provenance"]["level"]


def _mirror(model: Model, target: Path) -> str:
    """The other hand: the mirror image of the first one's file (x and y exchanged)."""
    source = FOLDER / f"{model.mirror_of}.xyz"
    if not source.exists():
        return f"waits for {source.name}"
    atoms = read(source)
    atoms.positions[:] = atoms.positions[:, [1, 0, 2]]
    atoms.info["name"] = atoms.info["provenance"]["title"]
    atoms.info["provenance"] |= {"hand": model.options["hand"], "mirror_of": source.name}
    write_extxyz(atoms, target)
    return f"mirror image of {source.name}"


def card() -> None:
    """Write the table of README.md, between its two marks, from the files that are there."""
    rows = ["| file | system | cluster | atoms | symmetry | level | Ag-Ag | Ag-S | Ag-O | Ag-P | closest contact |"]
    rows.append("|---|---|---|---|---|---|---|---|---|---|---|")
    for model in MODELS:
        path = FOLDER / f"{model.stem}.xyz"
        if path.exists():
            rows.append(_row(model, path))
    text = (FOLDER / "README.md").read_text()
    head, rest = text.split("<!-- table -->", 1)
    tail = rest.split("<!-- end -->", 1)[1]
    (FOLDER / "README.md").write_text(f"{head}<!-- table -->\n" + "\n".join(rows) + f"\n<!-- end -->{tail}")


def _row(model: Model, path: Path) -> str:
    atoms = read(path)
    known = atoms.info["provenance"]
    ranges = measure_bond_ranges(atoms)
    contact = find_closest_contact(atoms)
    near = "-" if contact is None else f"{contact.ratio:.2f}"
    level = known["level"]
    if "fmax_ev_a" in known:
        level += f", {known['steps']} steps, forces up to {known['fmax_ev_a']:.2f} eV/A"
    lengths = [str(ranges.get(f"Ag-{x}", "-")) for x in ("Ag", "S", "O", "P")]
    name = known["title"]
    if sum(ligand.formula == "S" for ligand in find_ligands(atoms)) == 0 and "S4" in name:
        raise SystemExit(f"{path.name} has lost its sulfides")
    return (
        f"| `{path.name}` | {model.system} | {name} | {len(atoms)} | {known['symmetry']} | {level} | "
        + " | ".join([*lengths, near])
        + " |"
    )


def main() -> int:
    """Make what the arguments ask for; the number of failures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="files whose name begins so")
    parser.add_argument("--no-relax", action="store_true")
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--card", action="store_true")
    wanted = parser.parse_args()
    failed = 0
    for model in MODELS if not wanted.card else ():
        done = (FOLDER / f"{model.stem}.xyz").exists() and not wanted.force
        if not model.stem.startswith(wanted.only) or done:
            continue
        try:
            print(f"{model.stem}: {make(model, not wanted.no_relax)}", flush=True)
        except ClusterMLError as error:
            failed += 1
            print(f"{model.stem}: {error}", file=sys.stderr, flush=True)
    card()
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
