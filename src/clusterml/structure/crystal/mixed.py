"""Sites that two or more elements share: alloys whose metals are spread over the same places, mixed halides.

X-rays see the average.  One element is taken at each site, so the cluster in hand is one of many: that is said, and
what depends on the choice (the hand of the frame) is told with the sharing elements alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from clusterml.errors import StructureError
from clusterml.printable import counted
from clusterml.structure.bonds import Pairs, components
from clusterml.structure.crystal import Disorder
from clusterml.structure.crystal.crystal import Crystal
from clusterml.structure.crystal.disorder import close_sites
from clusterml.structure.crystal.units import PARTIAL
from clusterml.structure.elements import formula, is_metal
from clusterml.typing import BoolArray, IntArray

ONE_PLACE = 0.5
"""Two elements nearer than this (A), neither of them in full, share one site."""
_FULL = 1.05  # the shares of a site add up to one, but for rounding
_EQUAL = 0.005
_LISTED = 4  # sites named in a sentence


@dataclass(frozen=True)
class MixedSite:
    """A site that elements share: ``labels`` and ``numbers`` of its sites, their ``shares`` of it, and the element
    ``taken``; ``equal``: another has the same share."""

    labels: tuple[str, ...]
    numbers: tuple[int, ...]
    shares: tuple[float, ...]
    taken: int
    equal: bool

    def describe(self) -> str:
        """``Ag14/Au14 (Ag 0.40, Au 0.60)``."""
        shares = zip(self.numbers, self.shares, strict=True)
        return f"{'/'.join(self.labels)} ({', '.join(f'{formula([z])} {share:.2f}' for z, share in shares)})"

    def to_dict(self) -> dict[str, object]:
        """As plain values for JSON."""
        shares = {formula([z]): round(share, 4) for z, share in zip(self.numbers, self.shares, strict=True)}
        return {"labels": list(self.labels), "shares": shares, "taken": formula([self.taken]), "equal": self.equal}


def settle_mixed_sites(
    crystal: Crystal, choice: Disorder = "major", source: str = "crystal"
) -> tuple[Crystal, tuple[MixedSite, ...]]:
    """The crystal with one element at each mixed site, as occupied as all of them, and what the sites are.

    ``major`` takes the element with the largest share (of equal ones the one listed first), ``A`` the one of the first
    group or that is listed first, ``B`` the next; ``error`` raises :class:`StructureError` if there are any.
    """
    groups = _shared_places(crystal, source)
    if not groups:
        return crystal, ()
    keep = np.ones(len(crystal.numbers), dtype=np.bool_)
    occupancy, group = crystal.occupancy.copy(), crystal.group.copy()
    mixed = []
    for members in groups:
        order = sorted(members.tolist(), key=lambda k: (abs(int(crystal.group[k])), k))
        best = max(order, key=lambda k: round(float(crystal.occupancy[k]) / _EQUAL))
        chosen = {"A": order[0], "B": order[1]}.get(choice, best)
        keep[members] = False
        keep[chosen] = True
        occupancy[chosen] = min(float(crystal.occupancy[members].sum()), 1.0)
        group[chosen] = 0 if len(set(crystal.group[members].tolist())) > 1 else group[chosen]
        mixed.append(_described(crystal, order, best, chosen))
    if choice == "error":
        raise StructureError(
            f"{source}: {counted(len(mixed), 'site')} shared by different elements: {_listed(mixed)}",
            "choose the component: --disorder major, A or B",
        )
    settled = replace(crystal, occupancy=occupancy, group=group).select(keep, *_sentences(mixed, choice))
    return settled, tuple(mixed)


def alike(numbers: IntArray, mixed: tuple[MixedSite, ...]) -> IntArray:
    """Atomic ``numbers`` ``(n,)`` with elements that share sites of a crystal counted as one (the lightest)."""
    result = numbers.copy()
    for site in mixed:
        values = {int(result[numbers == z][0]) for z in site.numbers if np.any(numbers == z)}
        if len(values) > 1:
            result[np.isin(result, sorted(values))] = min(values)
    return result


def _shared_places(crystal: Crystal, source: str) -> list[IntArray]:
    """The sites of each place that different elements share."""
    partial = np.flatnonzero((crystal.occupancy < PARTIAL) & (crystal.numbers != 1))
    if len(partial) < 2:
        return []
    pairs = close_sites(crystal, partial, ONE_PLACE, source)
    first, second = partial[pairs.first], partial[pairs.second]
    pairs = pairs.select(_may_share(crystal, first, second))
    return [
        partial[part]
        for part in components(len(partial), Pairs(pairs.first, pairs.second, pairs.shift, pairs.distance))
        if len(part) > 1 and _is_shared(crystal, partial[part])
    ]


def _may_share(crystal: Crystal, first: IntArray, second: IntArray) -> BoolArray:
    """Different elements, both without a disorder group, or metals in different ones.

    Other elements in groups belong to molecules that are there in one way or the other.
    """
    different = crystal.numbers[first] != crystal.numbers[second]
    metals = is_metal(crystal.numbers[first]) & is_metal(crystal.numbers[second])
    free = (crystal.group[first] == 0) & (crystal.group[second] == 0)
    groups = (crystal.group[first] != crystal.group[second]) & metals
    return np.asarray(different & (free | groups), dtype=np.bool_)


def _is_shared(crystal: Crystal, members: IntArray) -> bool:
    """Each element once, and no more of them than one atom."""
    numbers = crystal.numbers[members]
    return len(np.unique(numbers)) == len(numbers) and float(crystal.occupancy[members].sum()) <= _FULL


def _described(crystal: Crystal, order: list[int], best: int, chosen: int) -> MixedSite:
    shares = tuple(float(crystal.occupancy[k]) for k in order)
    close = [k for k in order if abs(crystal.occupancy[k] - crystal.occupancy[best]) < _EQUAL]
    return MixedSite(
        tuple(crystal.labels[k] for k in order),
        tuple(int(crystal.numbers[k]) for k in order),
        shares,
        int(crystal.numbers[chosen]),
        len(close) > 1,
    )


def _sentences(mixed: list[MixedSite], choice: Disorder) -> list[str]:
    larger = "the element listed first" if all(site.equal for site in mixed) else "the element with the larger share"
    rule = f"{larger} was taken at each" if choice == "major" else f"component {choice} was taken"
    average: dict[int, float] = {}
    for site in mixed:
        for number, share in zip(site.numbers, site.shares, strict=True):
            average[number] = average.get(number, 0.0) + share
    mean = ", ".join(f"{formula([z])} {total:.2f}" for z, total in sorted(average.items()))
    taken = formula([site.taken for site in mixed])
    sentences = [
        f"{counted(len(mixed), 'mixed site')}: {_listed(mixed)}; {rule} ({taken}; average {mean}): "
        "the cluster is one of many, and what depends on the order of these elements is a choice"
    ]
    equal = [site for site in mixed if site.equal]
    if equal and choice == "major":
        sentences.append(f"equal shares at {_listed(equal)}: the element listed first was taken")
    return sentences


def _listed(mixed: list[MixedSite]) -> str:
    more = f" and {len(mixed) - _LISTED} more" if len(mixed) > _LISTED else ""
    return ", ".join(site.describe() for site in mixed[:_LISTED]) + more
