"""Electrons that core potentials replace, and the charge that the electrons in a file's orbitals leave."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import product

from clusterml.typing import FloatArray, IntArray

_CORES = (
    *((0, 1, 118), (2, 3, 18), (10, 11, 36), (18, 19, 36), (28, 31, 54), (36, 37, 54)),
    *((46, 49, 71), (54, 55, 86), (60, 72, 118), (68, 72, 86), (78, 81, 118)),
)
"""Core electrons that potentials replace, and the first and the last element for which they do."""
_LARGEST_CHARGE = 6
"""Charges beyond it, and beyond one and an eighth of the number of atoms, are not believed where cores are guessed."""
_MOST_BARE = 6
"""Elements with an unknown core up to which the possible cores are tried."""


@dataclass(frozen=True)
class CoreElectrons:
    """The electrons that core potentials replace.

    ``electrons`` (n,): of each atom, those that are stated; ``unknown``: the elements whose basis has no core functions
    though the file does not say what replaces them.
    """

    electrons: IntArray
    unknown: tuple[int, ...]

    @classmethod
    def of(cls, numbers: IntArray, electrons: IntArray, tightest: FloatArray, stated: bool) -> CoreElectrons:
        """For atoms with ``electrons`` (n,) written and ``tightest`` (n,) exponents of s functions (bohr^-2).

        All-electron bases describe a 1s function, with exponents of several Z^2; bases of potentials stay below Z^2.
        """
        bare = (tightest < numbers.astype(float) ** 2) & (numbers > 2) & (electrons == 0)
        unknown = () if stated else tuple(sorted({int(z) for z in numbers[bare]}))
        return cls(electrons, unknown)

    def possible(self) -> list[dict[int, int]]:
        """Every choice of core electrons for the elements with an unknown core; one empty choice without such."""
        if len(self.unknown) > _MOST_BARE:
            return []
        choices = [[core for core, first, last in _CORES if first <= z <= last] for z in self.unknown]
        return [dict(zip(self.unknown, cores, strict=True)) for cores in product(*choices)]


def possible_charges(numbers: IntArray, cores: CoreElectrons, electrons: int) -> dict[int, dict[int, int]]:
    """Charge -> core electrons of the elements that lack them, for atoms with ``electrons`` in their orbitals.

    The smallest charges come first; none where too many elements lack their cores.
    """
    counts = Counter(int(z) for z in numbers)
    visible = int((numbers - cores.electrons).sum()) - electrons
    charges: dict[int, dict[int, int]] = {}
    for choice in cores.possible():
        charges.setdefault(visible - sum(core * counts[z] for z, core in choice.items()), choice)
    return dict(sorted(charges.items(), key=lambda item: abs(item[0])))


def known_charge(numbers: IntArray, cores: CoreElectrons, electrons: int) -> tuple[int | None, tuple[str, ...]]:
    """The charge, if only one is likely, and a sentence where core electrons had to be guessed for it."""
    from ase.data import chemical_symbols

    largest = min(_LARGEST_CHARGE, 1 + len(numbers) // 8)
    charges = possible_charges(numbers, cores, electrons)
    likely = [charge for charge in charges if not cores.unknown or abs(charge) <= largest]
    if len(likely) != 1:
        return None, ()
    charge = likely[0]
    if not (choice := charges[charge]):
        return charge, ()
    guessed = ", ".join(f"{core} of {chemical_symbols[z]}" for z, core in choice.items())
    sign = f"{charge:+d}" if charge else "0"
    return charge, (f"core electrons are not in the file: {guessed} assumed, which makes the charge {sign}",)
