"""Outputs of quantum-chemistry programs in miniature: invented excitations of hydrogen peroxide in their layout."""

from __future__ import annotations

ATOMS = (("O", 0.0, 0.73, -0.05), ("O", 0.0, -0.73, -0.05), ("H", 0.8, 0.9, 0.45), ("H", -0.8, -0.9, 0.45))
EXCITATIONS = ((5.0000, 0.0120, 11.5, 10.0), (6.2000, 0.2500, -42.25, -40.0), (4.5000, 0.0010, 3.0, 2.5))
"""Energy in eV, f, R in the velocity and in the length gauge in 1e-40 cgs; not in the order of energy."""
_NUMBERS = {"O": 8, "H": 1}
BOHR = 0.529177210903


def wavenumber(energy_ev):
    return energy_ev / 1.239841984e-4


def gaussian(excitations=EXCITATIONS, *, length=True, velocity=True, end=True):
    lines = [
        " Entering Gaussian System, Link 0=g16",
        "            Gaussian, Inc.  All Rights Reserved.",
        " ******************************************",
    ]
    lines += [" Gaussian 16:  ES64L-G16RevA.03 25-Dec-2016", "                29-Nov-2026 "]
    lines += [" ******************************************", " Charge =  -2 Multiplicity = 1"]
    lines += ["                         Standard orientation:", f" {'-' * 69}"]
    lines += [" Center     Atomic      Atomic             Coordinates (Angstroms)"]
    lines += [" Number     Number       Type             X           Y           Z", f" {'-' * 69}"]
    for k, (symbol, *xyz) in enumerate(ATOMS, start=1):
        lines.append(f"{k:7d}{_NUMBERS[symbol]:11d}           0    " + "".join(f"{x:12.6f}" for x in xyz))
    lines.append(f" {'-' * 69}")
    for gauge, there in (("velocity", velocity), ("length", length)):
        if there:
            lines.append(
                " <0|del|b> * <b|rxdel|0> + <0|del|b> * <b|delr+rdel|0>"
                if gauge == "velocity"
                else " 1/2[<0|r|b>*<b|rxdel|0> + (<0|rxdel|b>*<b|r|0>)*]"
            )
            lines.append(" Rotatory Strengths (R) in cgs (10**-40 erg-esu-cm/Gauss)")
            angle = "    E-M Angle" if gauge == "velocity" else ""
            lines.append(f"       state          XX          YY          ZZ    R({gauge}){angle}")
            for k, (_, _, r_velocity, r_length) in enumerate(excitations, start=1):
                r = r_velocity if gauge == "velocity" else r_length
                row = f"{k:10d}" + "".join(f"{x:12.4f}" for x in (r, r, r, r))
                lines.append(row + ("       90.00" if gauge == "velocity" else ""))
    lines += [
        "  1/2[<0|del|b>*<b|r|0> + (<0|r|b>*<b|del|0>)*] (Au)",
        " Excitation energies and oscillator strengths:",
        "",
    ]
    lines += [" Alpha  occ. eigenvalues --   -0.50000", " Alpha virt. eigenvalues --    0.10000"]
    for k, (energy, f, *_) in enumerate(excitations, start=1):
        nm = 1239.841984 / energy
        lines.append(f" Excited State{k:4d}:      Singlet-A {energy:10.4f} eV {nm:7.2f} nm  f={f:.4f}  <S**2>=0.000")
        lines += ["       9 -> 10         0.70000", ""]
    lines += [" Normal termination of Gaussian 16 at Sun Nov 29 21:00:00 2026."] if end else []
    return "\n".join(lines) + "\n"


def turbomole(excitations=EXCITATIONS, *, end=True):
    lines = [" escf (node1) : TURBOMOLE rev. V7.4.1 (2bfdd732) compiled 4 Nov 2019 at 15:12:03", "", ""]
    lines += ["              +--------------------------------------------------+"]
    lines += ["              | Atomic coordinate, charge and isotop information |"]
    lines += ["              +--------------------------------------------------+", ""]
    lines += ["                    atomic coordinates            atom    charge  isotop"]
    for symbol, *xyz in ATOMS:
        place = "".join(f"{x / BOHR:14.8f}" for x in xyz)
        lines.append(f"    {place}    {symbol.lower()}      {_NUMBERS[symbol]:.3f}     0")
    lines += ["", "", ""]
    for k, (energy, f, r_velocity, r_length) in enumerate(excitations, start=1):
        lines += [f"                         {k} singlet a excitation", "", "", " Total energy:           -150.0", ""]
        lines += [f" Excitation energy:             {energy / 27.211386245988:.10f}", ""]
        lines += [f" Excitation energy / eV:        {energy:.8f}", ""]
        lines += [f" Excitation energy / nm:        {1239.841984 / energy:.8f}", ""]
        lines += [f" Excitation energy / cm^(-1):   {wavenumber(energy):.8f}", "", "", " Oscillator strength:", ""]
        lines += [f"    velocity representation:    {f:.10f}", "", f"    length representation:      {f:.10f}", ""]
        lines += [f"    mixed representation:       {f:.10f}", "", "", " Rotatory strength:", ""]
        for gauge, r in (("velocity", r_velocity), ("length", r_length)):
            lines += [f"    {gauge} representation:    {r / 64604.8:.16E}", ""]
            lines += [f"    {gauge} rep. / 10^(-40)erg*cm^3:    {r:.16E}", ""]
        lines += ["", " Dominant contributions:", ""]
        lines += ["      occ. orbital   energy / eV   virt. orbital     energy / eV   |coeff.|^2*100"]
        lines += ["        9 a             -10.76          10 a              -0.78       96.7", "", ""]
        for moment in ("Electric transition dipole moment (length rep.):", "Magnetic transition dipole moment / i:"):
            lines += [f" {moment}", "", *(f"    {axis}        0.100000" for axis in "xyz"), ""]
    lines += ["   ****  escf : all done  ****", ""] if end else []
    return "\n".join(lines) + "\n"


def orca(excitations=EXCITATIONS, *, version=6, cd=True, triplets=True, end=True):
    ordered = sorted(excitations)
    title = "                     * O   R   C   A *"
    lines = [title, f"                         Program Version {version}.0.0  -   RELEASE  -", ""]
    lines += [
        "---------------------------------",
        "CARTESIAN COORDINATES (ANGSTROEM)",
        "---------------------------------",
    ]
    lines += [f"  {symbol:2s}" + "".join(f"{x:14.6f}" for x in xyz) for symbol, *xyz in ATOMS]
    lines += [
        "",
        " Total Charge           Charge          ....   -2",
        " Multiplicity           Mult            ....    1",
        "",
    ]
    state = "STATE  1:  E=   0.165376 au      4.500 eV    36295.0 cm**-1 <S**2> =   0.000000"
    lines += [state] if excitations else []
    electric = "VIA TRANSITION ELECTRIC DIPOLE MOMENTS"
    lines += _orca_table(f"ABSORPTION SPECTRUM {electric}", [(e, f, 1) for e, f, *_ in ordered], version, triplets, 4)
    if cd:
        name = f"CD SPECTRUM {electric}" if version >= 6 else "CD SPECTRUM"
        lines += _orca_table(name, [(e, r, 1) for e, _, _, r in ordered], version, triplets, 3)
        name = "CD SPECTRUM VIA TRANSITION VELOCITY DIPOLE MOMENTS"
        lines += _orca_table(name, [(e, r, 1) for e, _, r, _ in ordered], version, triplets, 3)
    lines += ["                             ****ORCA TERMINATED NORMALLY****"] if end else []
    return "\n".join(lines) + "\n"


def _orca_table(title, rows, version, triplets, n_behind):
    rule = "-" * 90
    lines = [
        rule,
        f"                     {title}    ",
        rule,
        " State   Energy    Wavelength  ..",
        "  (cm-1)  (nm)",
        rule,
    ]
    rows = [(4.1, 0.0, 3), *rows] if triplets else rows
    for k, (energy, strength, multiplicity) in enumerate(rows, start=1):
        cm, nm = wavenumber(energy), 1239.841984 / energy
        behind = "".join(f"{0.0:10.5f}" for _ in range(n_behind))
        if version >= 6:
            lines.append(
                f"  0-1A  -> {k:2d}-{multiplicity}A {energy:11.6f} {cm:9.1f} {nm:7.1f} {strength:13.9f}{behind}"
            )
        elif multiplicity == 3:
            lines.append(f"{k:4d} {cm:9.1f} {nm:8.1f}   spin forbidden (mult=3)")
        else:
            lines.append(f"{k:4d} {cm:9.1f} {nm:8.1f} {strength:13.9f}{behind}")
    return [*lines, "", ""]
