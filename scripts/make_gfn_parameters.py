"""Extract the GFN Slater basis sets, the GFN1-xTB Hamiltonian and what else its energy has into three JSON files.

Run once by a developer with `dxtb` installed (`pip install dxtb`, Apache-2.0; not a dependency of clusterml):
    python scripts/make_gfn_parameters.py src/clusterml/engine/data
dxtb ships the published parameters as TOML and Stewart's STO-nG expansions as arrays; only numbers are taken.
Four six-Gaussian expansions come from stda_xtb.json in the same folder instead: tblite, whose orbitals we expand,
uses an older fit for them (with dxtb's, the overlap of two silver atoms differs from tblite's by 1.4e-5).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

FIRST_ROW = {0: 0, 1: 4, 2: 7, 3: 9, 4: 10}
"""Row of dxtb's STO-nG arrays is n + FIRST_ROW[l] - 1, apart from 6s and 6p (rows 15 and 16 of the 6G array)."""

TBLITE_OLDER_FITS = ("4s", "4p", "5s", "5p")

REFERENCES = {
    "gfn1": "S. Grimme, C. Bannwarth, P. Shushkov, J. Chem. Theory Comput. 13, 1989 (2017)",
    "gfn2": "C. Bannwarth, S. Ehlert, S. Grimme, J. Chem. Theory Comput. 15, 1652 (2019)",
    "sto_ng": "R. F. Stewart, J. Chem. Phys. 52, 431 (1970)",
}


def shells(element: dict[str, Any]) -> list[dict[str, Any]]:
    """Shells of one element: label (such as 4d), Slater exponent zeta, number of Gaussians."""
    rows = zip(element["shells"], element["slater"], element["ngauss"], strict=True)
    return [{"label": label, "zeta": zeta, "n_gauss": n} for label, zeta, n in rows]


def expansion(folder: Path, n_gauss: int, label: str) -> dict[str, list[float]]:
    """Exponents for zeta = 1 and coefficients of normalised primitives of one Slater function."""
    n, l = int(label[0]), "spdfg".index(label[1])
    row = 15 + l if n == 6 else n + FIRST_ROW[l] - 1
    coefficients, exponents = np.load(folder / f"sto-{n_gauss}g.npy")[:, row, :]
    return {"alpha": exponents.tolist(), "coef": coefficients.tolist()}


def hamiltonian(parameters: dict[str, Any], radii: list[float], covalent_radii: list[float]) -> dict[str, Any]:
    """The parameters of H0 and of the electrostatics: global, of pairs (where not one), of elements."""
    xtb = parameters["hamiltonian"]["xtb"]
    names = {
        "levels": "levels_ev",
        "kcn": "level_cn_ev",
        "shpoly": "shell_polynomial",
        "refocc": "reference_occupation",
        "lgam": "shell_hardness_factor",
        "gam": "hardness_hartree",
        "gam3": "hardness_derivative_hartree",
        "en": "electronegativity",
    }
    elements = {
        symbol: {new: entry[old] for old, new in names.items()}
        | {"radius_bohr": radii[number], "covalent_radius_bohr": covalent_radii[number]}
        for number, (symbol, entry) in enumerate(parameters["element"].items(), 1)
    }
    return {
        "k_shell": xtb["shell"],
        "k_polarisation": xtb["kpol"],
        "electronegativity_scale": xtb["enscale"],
        "k_pair": xtb["kpair"],
        "elements": elements,
    }


def nuclear_terms(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters of repulsion, dispersion and halogen bonds."""
    d3, halogen = parameters["dispersion"]["d3"], parameters["halogen"]["classical"]
    names = {"zeff": "charge", "arep": "exponent_bohr", "xbond": "halogen_bond_hartree"}
    return {
        "repulsion_power": parameters["repulsion"]["effective"]["kexp"],
        "halogen_damping": halogen["damping"],
        "halogen_radius_scale": halogen["rscale"],
        "dispersion_d3": {name: d3[name] for name in ("s6", "s8", "a1", "a2", "s9")},
        "elements": {
            symbol: {new: entry[old] for old, new in names.items()} for symbol, entry in parameters["element"].items()
        },
    }


def write(target: Path, data: dict[str, Any]) -> None:
    """One number per line would be long: lists stay on theirs."""
    text = re.sub(r"\[[^\[\]{}]*\]", lambda m: " ".join(m.group().split()), json.dumps(data, indent=1))
    target.write_text(text + "\n", encoding="utf-8")


def main(folder: Path) -> None:
    dxtb = importlib.util.find_spec("dxtb")
    if dxtb is None or dxtb.origin is None:
        raise SystemExit("dxtb is not installed: pip install dxtb")
    root = Path(dxtb.origin).parent / "_src"
    from tad_mctc.data.radii import ATOMIC_RADII, COV_D3  # comes with dxtb

    source = f"dxtb {importlib.metadata.version('dxtb')} (Apache-2.0)"
    methods, parameters = {}, {}
    for name in ("gfn1", "gfn2"):
        with (root / "param" / name / f"{name}-xtb.toml").open("rb") as handle:
            parameters[name] = tomllib.load(handle)
        methods[name] = {symbol: shells(e) for symbol, e in parameters[name]["element"].items()}
    older = json.loads((folder / "stda_xtb.json").read_text(encoding="utf-8"))["sto_ng"]["6"]
    used = sorted({(s["n_gauss"], s["label"]) for m in methods.values() for e in m.values() for s in e})
    sto_ng = {f"{n}:{label}": expansion(root / "basis" / "sto-ng", n, label) for n, label in used}
    sto_ng |= {f"6:{label}": older[label] for label in TBLITE_OLDER_FITS}
    basis = {
        "source": f"{source}: parameter TOML files and STO-nG arrays; "
        "6:4s, 6:4p, 6:5s, 6:5p from stda_xtb.json, as in tblite 0.8",
        "references": REFERENCES,
        "sto_ng": sto_ng,
        "methods": methods,
    }
    text = json.dumps(basis, indent=1)
    (folder / "gfn_basis.json").write_text(text + "\n", encoding="utf-8")
    head = {
        "source": f"{source}: parameter TOML file of GFN1-xTB; radii of tad-mctc "
        f"{importlib.metadata.version('tad-mctc')} (Apache-2.0)",
        "references": {"gfn1": REFERENCES["gfn1"]},
    }
    radii = [table().double().tolist() for table in (ATOMIC_RADII, COV_D3)]
    write(folder / "gfn1_hamiltonian.json", head | hamiltonian(parameters["gfn1"], *radii))
    write(
        folder / "gfn1_nuclear.json",
        {"source": f"{source}: parameter TOML file of GFN1-xTB"} | nuclear_terms(parameters["gfn1"]),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
