"""Write datasets/examples/ag29_invented_jasco.txt: what a JASCO spectrometer might have written of the example cluster.

    python scripts/make_example_measurement.py [datasets/examples]

No measurement: the engine's spectrum, broader and moved to higher energies, with noise, in millidegrees and
absorbance of a solution of 1e-5 mol/L in a cell of 0.5 cm.  It is there to try the reading and comparing of such files.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import clusterml
from clusterml.units import MDEG_PER_DELTA_A, nm_to_ev

ROOT = Path(__file__).resolve().parents[1]
CONCENTRATION, PATH_CM = 1e-5, 0.5
FWHM_EV, SHIFT_EV = 0.25, 0.15
NOISE_MDEG, NOISE_ABSORBANCE = 0.05, 0.0005
NOTE = "INVENTED, no measurement: computed for the model in ag29_model.cif, shifted, broadened, noise added"


def main(folder: str | Path = ROOT / "datasets" / "examples") -> None:
    """Label the example and write the file."""
    atoms = clusterml.read(ROOT / "datasets" / "examples" / "ag29_model.xyz")
    spectrum = clusterml.label(atoms, fwhm_ev=FWHM_EV).spectrum
    wavelength = np.arange(800.0, 239.0, -1.0)
    energy = nm_to_ev(wavelength) - SHIFT_EV
    amount = CONCENTRATION * PATH_CM
    random = np.random.default_rng(29)
    absorbance = amount * np.interp(energy, spectrum.energy_ev, spectrum.epsilon)
    absorbance += NOISE_ABSORBANCE * random.standard_normal(len(wavelength))
    cd = amount * MDEG_PER_DELTA_A * np.interp(energy, spectrum.energy_ev, spectrum.delta_epsilon)
    cd += NOISE_MDEG * random.standard_normal(len(wavelength))
    voltage = 300 + 200 * absorbance
    head = [
        f"TITLE\t{NOTE}",
        "DATA TYPE\t",
        "ORIGIN\tJASCO",
        f"SPECTROMETER/DATA SYSTEM\tnone ({Path(__file__).name})",
        "DELTAX\t-1",
        "XUNITS\tNANOMETERS",
        "YUNITS\tCD [mdeg]",
        "Y2UNITS\tHT [V]",
        "Y3UNITS\tABSORBANCE",
        f"FIRSTX\t{wavelength[0]:.4f}",
        f"LASTX\t{wavelength[-1]:.4f}",
        f"NPOINTS\t{len(wavelength)}",
        "XYDATA",
    ]
    rows = zip(wavelength, cd, voltage, absorbance, strict=True)
    body = [f"{x:.4f}\t{y:.4f}\t{volt:.1f}\t{a:.5f}" for x, y, volt, a in rows]
    tail = ["", "##### Extended Information", f"[Comments]\nConcentration\t{CONCENTRATION:g} mol/L\nPath\t{PATH_CM} cm"]
    target = Path(folder) / "ag29_invented_jasco.txt"
    target.write_text("\n".join([*head, *body, *tail]) + "\n")
    print(target)


if __name__ == "__main__":
    main(*sys.argv[1:2])
