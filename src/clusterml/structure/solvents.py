"""Implicit solvents: their names, and which of them GBSA and ALPB have parameters for.

Source: S. Ehlert, M. Stahn, S. Spicher, S. Grimme, J. Chem. Theory Comput. 17, 4250 (2021); names as in tblite.
"""

from __future__ import annotations

from typing import Literal

from clusterml.errors import OptionError, nearest

SolventModel = Literal["alpb", "gbsa"]
"""The linearised Poisson-Boltzmann model with the P16 kernel, or generalised Born with Still's kernel."""
GfnMethod = Literal["gfn1", "gfn2"]
SOLVENTS_OF: dict[str, GfnMethod] = {"gfn1": "gfn1", "gfn2": "gfn2", "gfn1-pbe": "gfn1"}
"""Orbitals -> the method whose solvents they take."""

_SYNONYMS = {
    "acetone": (),
    "acetonitrile": ("mecn",),
    "aniline": (),
    "benzaldehyde": (),
    "benzene": (),
    "ch2cl2": ("dichloromethane", "dichlormethane", "methylenechloride"),
    "chcl3": ("chloroform",),
    "cs2": ("carbondisulfide",),
    "dioxane": (),
    "dmf": ("dimethylformamide",),
    "dmso": ("dimethylsulfoxide",),
    "ethanol": (),
    "ether": ("diethylether",),
    "ethylacetate": (),
    "furane": ("furan",),
    "hexadecane": (),
    "hexane": ("nhexan", "nhexane"),
    "methanol": (),
    "nitromethane": (),
    "octanol": (),
    "phenol": (),
    "thf": ("tetrahydrofuran",),
    "toluene": (),
    "water": ("h2o",),
    "woctanol": (),
}
"""Name of a solvent -> other names of it.  ``woctanol`` is octanol saturated with water."""

_GBSA = frozenset(
    ("acetone", "acetonitrile", "benzene", "ch2cl2", "chcl3", "cs2", "dmso", "ether", "methanol", "thf", "toluene")
) | {"water"}
_GBSA_OF_GFN2_ALONE = frozenset(("dmf", "hexane"))

_NAME_OF = {synonym: name for name, synonyms in _SYNONYMS.items() for synonym in (name, *synonyms)}


def known_solvents(model: SolventModel, method: GfnMethod) -> tuple[str, ...]:
    """Names of the solvents that ``model`` has parameters of for ``method``, in alphabetical order."""
    gbsa = _GBSA | _GBSA_OF_GFN2_ALONE if method == "gfn2" else _GBSA
    return tuple(name for name in _SYNONYMS if model == "alpb" or name in gbsa)


def find_solvent(name: str, model: SolventModel, method: GfnMethod) -> str:
    """The name that parameters go by; case, hyphens, commas and blanks in ``name`` do not count.

    Raises OptionError with the nearest name for one that is not known, or with the model that has its parameters.

    Examples:
        >>> find_solvent("n-Hexane", "alpb", "gfn1")
        'hexane'
    """
    plain = name.casefold().translate(str.maketrans("", "", "-, "))
    known = known_solvents(model, method)
    solvent = _NAME_OF.get(plain)
    if solvent in known:
        return solvent
    choice = f"choose one of {', '.join(known)}"
    if solvent is None:
        meant = nearest(plain, (synonym for synonym, solvent in _NAME_OF.items() if solvent in known))
        hint = f"did you mean {meant!r}? " if meant else ""
        raise OptionError(f"solvent is {name!r}, which is not known", hint + choice)
    problem = f"solvent is {name!r}, which {model.upper()} has no parameters of for {method}"
    other = "" if model == "alpb" else "use ALPB (--solvation alpb), or "
    raise OptionError(problem, f"{other}{choice}")
