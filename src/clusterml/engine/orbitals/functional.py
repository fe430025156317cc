"""Density functionals and Gaussian basis sets by name: what pyscf knows, in one spelling, with its sTDA parameters.

Sources: S. Grimme, J. Chem. Phys. 138, 244104 (2013) (global hybrids: alpha = 1.42 + 0.48 a_x, beta = 0.20 + 1.83 a_x);
T. Risthaus, A. Hansen, S. Grimme, Phys. Chem. Chem. Phys. 16, 14408 (2014) (range-separated hybrids).
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from clusterml.engine.kernels import ALPHA_K, ALPHA_K_SLOPE, BETA_J, BETA_J_SLOPE
from clusterml.errors import OptionError, UnsupportedElementError, did_you_mean, nearest

_RANGE_SEPARATED = {
    "camb3lyp": (0.38, 0.90, 1.86),
    "lcblyp": (0.53, 4.50, 8.00),
    "wb97": (0.61, 4.41, 8.00),
    "wb97x": (0.56, 4.58, 8.00),
    "wb97xd3": (0.51, 4.51, 8.00),
    "wb97xd": (0.51, 4.51, 8.00),
}
"""a_x, alpha and beta of range-separated hybrids; wB97X-D takes those of wB97X-D3, as the program std2 does."""
_SUGGESTED = "such as pbe, bp86, r2scan, pbe0, b3lyp or cam-b3lyp"
_LETTERS = re.compile(r"[a-z0-9_,.*+()-]{1,80}")
_DISPERSION = re.compile(r"[-_]?d[34](bj|zero|op)?$")


@dataclass(frozen=True)
class Functional:
    """A density functional as pyscf spells it in ``name``, and how excitations interact under it.

    ``ax``: share of Fock exchange in the excitations, 0 for a pure functional; ``alpha`` and ``beta``: exponents of the
    exchange-type and Coulomb-type kernels of sTDA; ``range_separated``: is Fock exchange divided by distance.
    """

    name: str
    ax: float
    alpha: float
    beta: float
    range_separated: bool = False


@lru_cache(maxsize=64)
def read_functional(name: str) -> Functional:
    """The functional called ``name``, upper or lower case, with or without hyphens.

    Raises OptionError for one that is not known, is exchange alone, or is a range-separated hybrid without published
    sTDA parameters.
    """
    spelling = _spelling(name)
    omega, _, short_range = _coefficients(spelling)
    if omega == 0.0:
        ax = short_range
        return Functional(spelling, ax, ALPHA_K + ALPHA_K_SLOPE * ax, BETA_J + BETA_J_SLOPE * ax)
    if spelling not in _RANGE_SEPARATED:
        raise OptionError(
            f"xc is {name!r}: the excitations of this range-separated hybrid have no published sTDA parameters",
            f"take one of {', '.join(_RANGE_SEPARATED)}, a global hybrid such as pbe0, or a pure functional",
        )
    return Functional(spelling, *_RANGE_SEPARATED[spelling], range_separated=True)


def _spelling(name: str) -> str:
    """``name`` in lower case, without the hyphens, underscores and spaces that make no difference to pyscf."""
    text = "".join(name.lower().split())
    if not _LETTERS.fullmatch(text):
        raise OptionError(f"xc is {name!r}", f"give the name of a density functional, {_SUGGESTED}")
    known = _parsed(text)
    compact = text.replace("-", "").replace("_", "")
    if known is None or _parsed(compact) == known:
        text, known = compact, _parsed(compact)
    if known is None or text.isdigit() or not (known[1] or any(known[0])):
        raise _unknown_functional(name)
    _check_whole(name, text, known[1])
    return text


def _unknown_functional(name: str) -> OptionError:
    if (bare := _DISPERSION.sub("", name.lower())) != name.lower() and _parsed(bare):
        return OptionError(f"xc is {name!r}: a dispersion correction changes no orbitals", f"give {bare}")
    guess = did_you_mean(nearest(name, _functional_names()))
    return OptionError(f"there is no density functional {name!r}{guess}", f"give one that libxc knows, {_SUGGESTED}")


def _check_whole(name: str, text: str, parts: tuple[tuple[int, float], ...]) -> None:
    """Raise OptionError for a single word that stands for exchange without correlation, such as ``lda`` or ``b88``."""
    names = [_names_by_number().get(number, "") for number, _ in parts]
    if "," not in text and names and all(re.search("_X(_|$)", part) for part in names):
        raise OptionError(f"xc is {name!r}, which is exchange without correlation", f"give both, {_SUGGESTED}")


@lru_cache(maxsize=256)
def _parsed(text: str) -> tuple[tuple[float, ...], tuple[tuple[int, float], ...]] | None:
    """Shares of Fock exchange and parts (number in libxc, factor) of what pyscf reads in ``text``; None: nothing.

    A dispersion correction, and a word that stands for several functionals, is nothing.
    """
    import contextlib
    import io

    if re.search(r"-d[34]", text):
        return None
    from clusterml.engine.integrals import import_pyscf

    libxc: Any = import_pyscf("dft.libxc")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            shares, parts = libxc.parse_xc(text)
            libxc.xc_type(text)
    except (KeyError, ValueError, NotImplementedError, IndexError, AttributeError, RuntimeError):
        return None
    if said.getvalue():
        return None
    return tuple(float(s) for s in shares), tuple((int(number), float(factor)) for number, factor in parts)


def _coefficients(text: str) -> tuple[float, float, float]:
    """omega, long-range and short-range share of Fock exchange."""
    from clusterml.engine.integrals import import_pyscf

    omega, long_range, short_range = import_pyscf("dft").numint.NumInt().rsh_and_hybrid_coeff(text)
    return float(omega), float(long_range), float(short_range)


@lru_cache(maxsize=1)
def _names_by_number() -> dict[int, str]:
    from clusterml.engine.integrals import import_pyscf

    return {int(number): name for name, number in import_pyscf("dft.libxc").available_libxc_functionals().items()}


@lru_cache(maxsize=1)
def _functional_names() -> tuple[str, ...]:
    """Short names of functionals, in lower case."""
    from clusterml.engine.integrals import import_pyscf

    libxc = import_pyscf("dft.libxc")
    long = [name.split("_XC_")[1] for name in libxc.XC_CODES if "_XC_" in name]
    return tuple(sorted({name.lower() for name in (*long, *libxc.XC_ALIAS, *libxc.XC_CODES) if "_X_" not in name}))


DEFAULT_XC, DEFAULT_BASIS = "pbe", "def2-svp"
_UNFIT = re.compile(
    r"(jkfit|jfit|mp2fit|ri|fit)$|^(weigend|ahlrichs|demon)"  # to fit densities
    r"|^(gth|sap|ecpds|bfd|ccecp(?!cc|aug))"  # potentials, and what needs one from elsewhere
    r"|dkh?3?$|^(dyall|faegre|x2c|sarc|anorcc|minao)"  # for relativistic Hamiltonians, for first guesses
)
"""Names of pyscf that are no basis sets for orbitals without relativity but that in effective core potentials."""


@dataclass(frozen=True)
class BasisChoice:
    """A basis set for every element: ``default``, and ``others`` (element, basis) for single ones."""

    default: str
    others: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """``def2-svp`` or ``def2-svp,Ag=lanl2dz``: how it is written, see :func:`read_basis`."""
        return ",".join((self.default, *(f"{symbol}={name}" for symbol, name in self.others)))

    def of(self, symbol: str) -> str:
        """The basis set of an element."""
        return dict(self.others).get(symbol, self.default)


@lru_cache(maxsize=64)
def read_basis(text: str) -> BasisChoice:
    """The basis sets that ``text`` names: one for all elements, and more for single ones, ``def2-svp,Ag=lanl2dz``.

    Raises OptionError for a name that pyscf does not know, a symbol that is no element or is named twice.
    """
    from ase.data import atomic_numbers

    default: str | None = None
    others: dict[str, str] = {}
    for part in _basis_parts(text):
        symbol, equals, name = part.rpartition("=")
        symbol = symbol.strip().capitalize()
        if equals and symbol not in atomic_numbers:
            raise OptionError(f"basis is {text!r}: {symbol!r} is no element", "write basis,Ag=basis")
        if symbol in others:
            raise OptionError(f"basis is {text!r}: {symbol} has two", "give one of them")
        if equals:
            others[symbol] = _basis_spelling(name, text)
        elif default is not None:
            raise OptionError(f"basis is {text!r}: {default} and {part} are both for all elements", "give one of them")
        else:
            default = _basis_spelling(part, text)
    if default is None:
        raise OptionError(f"basis is {text!r}: none is for all elements", f"write {DEFAULT_BASIS},Ag=basis")
    return BasisChoice(default, tuple(sorted((s, n) for s, n in others.items() if n != default)))


def _basis_parts(text: str) -> list[str]:
    """``text`` at its commas, but for those within brackets: 6-31g(d,p) is one name."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", text)]


def _basis_spelling(name: str, text: str) -> str:
    """A basis set's name as its file has it (``def2-svp``), or as it is given where there is none."""
    known = _basis_names()
    key = re.sub(r"[-_ ]", "", name.lower())
    if key in known:
        return known[key]
    stem = key.split("(")[0]
    if "(" in key and stem in known and stem.startswith(("631", "321", "431")):
        return known[stem] + key[len(stem) :]
    guess = did_you_mean(nearest(name, set(known.values())))
    what = "not made for Kohn-Sham orbitals with effective core potentials" if _UNFIT.search(key) else "not known"
    where = "" if name == text else f" in {text!r}"
    problem = f"the basis {name!r}{where} is {what}{guess}"
    raise OptionError(problem, "give one that pyscf has, such as def2-svp, def2-tzvp, lanl2dz or cc-pvdz")


@lru_cache(maxsize=1)
def _basis_names() -> dict[str, str]:
    """pyscf's key of every orbital basis -> its usual name."""
    from pathlib import PurePath

    from clusterml.engine.integrals import import_pyscf

    names: dict[str, str] = {}
    for key, files in import_pyscf("gto.basis").ALIAS.items():
        if _UNFIT.search(key):
            continue
        file = files if isinstance(files, str) else files[0]
        stem = PurePath(file).stem.lower()
        names[key] = stem if re.sub(r"[-_ ]", "", stem) == key else _hyphenated(key)
    return names


def _hyphenated(key: str) -> str:
    """A key as it is usually written: def2-svp, 6-31g**, aug-cc-pvdz."""
    key = re.sub(r"^(def2|ma|x2c|dyall|pcseg|ano)(?=[a-z0-9])", r"\1-", key)
    key = re.sub(r"^(\d)(\d+)(?=[+g])", r"\1-\2", key)
    return re.sub(r"^(aug)?cc(?=p)", lambda match: "aug-cc-" if match[1] else "cc-", key)


@dataclass(frozen=True)
class ElementBasis:
    """The ``shells`` of an element in pyscf's form, its effective core ``potential`` (None: none); ``functions``:
    number of spherical functions, ``core``: electrons that the potential replaces."""

    shells: Any
    potential: Any
    functions: int
    core: int


@lru_cache(maxsize=256)
def element_basis(symbol: str, name: str) -> ElementBasis:
    """The basis set ``name`` of an element, with the effective core potential that was made for it, if there is one.

    Raises UnsupportedElementError where the set does not have the element.
    """
    from clusterml.engine.integrals import import_pyscf

    basis = import_pyscf("gto.basis")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where more basis sets could be had
        try:
            shells = basis.load(name, symbol)
        except (basis.BasisNotFoundError, KeyError, RuntimeError) as error:
            raise _without_element(symbol, name) from error
        potential = _potential(basis, symbol, name)
    if not shells:
        raise _without_element(symbol, name)
    functions = sum((2 * shell[0] + 1) * (len(_rows(shell)[0]) - 1) for shell in shells)
    return ElementBasis(shells, potential, functions, 0 if potential is None else int(potential[0]))


def _rows(shell: Any) -> Any:
    """Rows (exponent, coefficients ..) of a shell in pyscf's form, which may have a kappa before them."""
    return shell[2:] if isinstance(shell[1], int) else shell[1:]


def _potential(basis: Any, symbol: str, name: str) -> Any:
    """The potential that stands beside a basis set under the same name; None for an all-electron set."""
    try:
        return basis.load_ecp(name, symbol) or None
    except (basis.BasisNotFoundError, KeyError, RuntimeError, AttributeError, IndexError):
        return None


def _without_element(symbol: str, name: str) -> UnsupportedElementError:
    return UnsupportedElementError(
        f"the basis {name} has no functions for {symbol}",
        f"use --basis def2-svp, which covers hydrogen to radon, or {name},{symbol}=def2-svp",
    )
