"""Which charge a cluster is given: the stated one, else what the witnesses say, with the alternatives listed.

The witnesses are the superatom count (:mod:`clusterml.structure.anatomy.superatom`), the counter-ions of a crystal or
their absence (:mod:`clusterml.structure.crystal.witness`), and, where the count leaves a choice, the gaps of ground
states.  Who computes those is handed in, so that ``inspect``, ``predict`` and ``label`` decide alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from clusterml.errors import ChargeError, counted
from clusterml.structure.anatomy.superatom import ChargeProposal, is_even_electron, propose_charge, signed_charge
from clusterml.structure.check import stated_charge, whole_charge

if TYPE_CHECKING:
    from ase import Atoms

CLEAR_GAP_EV = 0.3
"""A ground state with a gap of this speaks for its charge."""
SMALL_GAP_EV = 0.2
"""A ground state with a gap below this speaks against its charge: what is occupied is then close to arbitrary."""

_WIDER = 1.5  # a rival's gap must be so many times that of the charge which the count puts first

Origin = Literal["option", "file", "counter-ions", "no counter-ions", "ground state", "superatom shells"]


@dataclass(frozen=True)
class FrontierGaps:
    """HOMO-LUMO gaps (eV) of a cluster at several charges, None where the ground state does not converge; ``note`` says
    how they were computed, or why not."""

    gaps_ev: Mapping[int, float | None]
    note: str = ""

    def __str__(self) -> str:
        """``-1: 0.92 eV, +1: 0.11 eV``."""
        return ", ".join(
            f"{signed_charge(q)}: " + ("not converged" if gap is None else f"{gap:.2f} eV")
            for q, gap in self.gaps_ev.items()
        )


GapSource: TypeAlias = Callable[["Atoms", Sequence[int]], FrontierGaps]
"""Computes the gaps of a structure at some charges; never raises because a ground state fails."""


@dataclass(frozen=True)
class ChargeWitness:
    """What one ``source`` says: the ``charge`` it speaks for (None: it cannot tell), and a sentence."""

    source: Literal["superatom count", "counter-ions", "ground state"]
    charge: int | None
    statement: str


@dataclass(frozen=True)
class ChargeDecision:
    """The ``charge`` taken (units of e), where it is from, and why.

    ``candidates``: (charge, superatom electrons, gap in eV or None), most plausible first; ``warnings``: sentences;
    ``assumption``: one that says what was assumed, with the alternatives, or empty where the charge is stated;
    ``missing_hydrogens``: how many the structure seems to lack.
    """

    charge: int
    origin: Origin
    reason: str
    candidates: tuple[tuple[int, int, float | None], ...]
    witnesses: tuple[ChargeWitness, ...]
    warnings: tuple[str, ...]
    assumption: str = ""
    missing_hydrogens: int = 0

    @property
    def notes(self) -> list[str]:
        """Assumption and warnings that belong to every result computed with this charge."""
        return [self.assumption, *self.warnings] if self.assumption else list(self.warnings)

    @property
    def is_open(self) -> bool:
        """Is the charge a guess between alternatives: stated nowhere, and counter-ions or ground states are against it?

        Ground states are asked where the count leaves a choice; one that does not tell counts as against it.
        """
        if not self.assumption or self.origin == "no counter-ions":
            return False
        asked = [w.charge for w in self.witnesses if w.source == "ground state"]
        ions = [w.charge for w in self.witnesses if w.source == "counter-ions" and w.charge is not None]
        return any(charge != self.charge for charge in (*asked, *ions))

    def to_dict(self) -> dict[str, Any]:
        """The keys about the charge that ``inspect``, ``predict`` and ``label`` share in their JSON."""
        return {
            "charge": self.charge,
            "charge_from": self.origin,
            "charge_reason": self.reason,
            "charge_candidates": [
                {"charge": q, "superatom_electrons": n} | ({} if gap is None else {"gap_ev": gap})
                for q, n, gap in self.candidates
            ],
            "charge_witnesses": [vars(witness) for witness in self.witnesses],
        }


def decide_charge(
    atoms: Atoms, charge: int | None = None, gaps: GapSource | None = None, *, check: bool = False
) -> ChargeDecision:
    """The charge of ``atoms``: the argument, else ``atoms.info["charge"]``, else what the witnesses say.

    ``gaps``: computes ground states where the count leaves a choice, and with ``check`` also where it does not propose
    a stated charge.  The charge may leave an electron unpaired, see :func:`check_charge`.  Raises ChargeError for a
    charge that is no whole number.
    """
    stated = stated_charge(atoms) if charge is None else whole_charge(charge)
    proposal = propose_charge(atoms)
    crystal = atoms.info.get("provenance", {}).get("charge_witness")
    if stated is None:
        return _decide_proposed(atoms, proposal, crystal, gaps)
    ions = crystal is not None and charge is None and crystal["charge"] is not None
    origin: Origin = "option" if charge is not None else "counter-ions" if ions else "file"
    reason = crystal["reason"] if crystal is not None and ions else f"charge {signed_charge(stated)} is stated"
    return _decide_stated(atoms, stated, origin, reason, proposal, gaps if check else None)


def check_charge(atoms: Atoms, decision: ChargeDecision) -> None:
    """Raise ChargeError where the charge leaves no electrons, or one unpaired, which the engine cannot compute."""
    charge = decision.charge
    electrons = int(atoms.numbers.sum()) - charge
    if electrons <= 0:
        raise ChargeError(f"charge {signed_charge(charge)} leaves {electrons} electrons", "give a smaller charge")
    if electrons % 2 == 0:
        return
    problem = f"charge {signed_charge(charge)} gives {electrons} electrons, an odd number"
    if decision.missing_hydrogens:
        raise ChargeError(
            f"{problem}: the ligands lack {counted(decision.missing_hydrogens, 'hydrogen')}",
            "complete the ligands (`clusterml inspect` names them), or give another charge",
        )
    if decision.assumption:
        problem += f": a radical, proposed because {decision.reason}"
    paired = [q for q, _, _ in decision.candidates if is_even_electron(atoms, q)][:3]
    remedy = f"give a charge that pairs all electrons; likely charges: {', '.join(map(signed_charge, paired))}"
    if paired and decision.assumption:
        remedy += f"; --charge={paired[0]} computes the closed shell that is nearest"
    raise ChargeError(problem, remedy if paired else "give a charge that pairs all electrons")


def _decide_stated(
    atoms: Atoms, stated: int, origin: Origin, reason: str, proposal: ChargeProposal, gaps: GapSource | None
) -> ChargeDecision:
    """The stated charge, with warnings from witnesses that disagree."""
    witnesses = [_count_witness(proposal)]
    computed = FrontierGaps({})
    warnings: list[str] = []
    counted = proposal.superatom_electrons is not None
    if counted and stated != proposal.charge:
        if stated not in proposal.close or origin == "counter-ions":
            speaker = f"{reason}: it" if origin == "counter-ions" else f"the stated charge {signed_charge(stated)}"
            warnings.append(f"{speaker} disagrees with the superatom shells: {proposal.reason}")
        elif gaps is not None and is_even_electron(atoms, stated):
            computed = gaps(atoms, (stated, proposal.charge))
            witnesses += _gap_witness(computed)
            warnings += _warn_of_gap(stated, computed)
    candidates = _candidates(proposal, computed)
    warnings += proposal.incomplete
    missing = proposal.missing_hydrogens
    return ChargeDecision(
        stated, origin, reason, candidates, tuple(witnesses), tuple(warnings), missing_hydrogens=missing
    )


def _decide_proposed(
    atoms: Atoms, proposal: ChargeProposal, crystal: Mapping[str, Any] | None, gaps: GapSource | None
) -> ChargeDecision:
    """The charge that the witnesses propose where none is stated."""
    witnesses = [_count_witness(proposal)]
    computed = FrontierGaps({})
    if proposal.close and gaps is not None:
        computed = gaps(atoms, proposal.close)
        witnesses += _gap_witness(computed)
    charge = _widest(proposal, computed)
    origin: Origin = "superatom shells" if charge == proposal.charge else "ground state"
    reason = proposal.reason if charge == proposal.charge else _explain_gap(proposal, charge, computed)
    reason += f"; gaps of ground states: {computed}" if computed.gaps_ev else ""
    warnings = list(proposal.warnings)
    if crystal is not None:
        absent = bool(crystal["counter_ions_absent"])
        witnesses.append(ChargeWitness("counter-ions", 0 if absent else crystal["charge"], crystal["reason"]))
        if absent and charge != 0:
            warnings.append(f"counter-ions and superatom shells disagree: {crystal['reason']}; but {reason}")
        if absent and abs(charge) == 1:  # the radical is known, and a single ion of each cluster is not overlooked
            charge, origin, reason = 0, "no counter-ions", crystal["reason"]
    assumption = f"charge {signed_charge(charge)} assumed: {reason}{_alternatives(proposal, charge)}"
    candidates = _candidates(proposal, computed, charge)
    missing = proposal.missing_hydrogens
    return ChargeDecision(charge, origin, reason, candidates, tuple(witnesses), tuple(warnings), assumption, missing)


def _explain_gap(proposal: ChargeProposal, charge: int, computed: FrontierGaps) -> str:
    """Why a ground state was followed, and not the count."""
    electrons, gap = dict(proposal.candidates), computed.gaps_ev[charge]
    text = f"charge {signed_charge(charge)}"
    if gap is not None:
        text += f" opens a gap of {gap:.2f} eV"
    if electrons[charge] >= 0:
        text += f" and has {electrons[charge]} superatom electrons"
    return f"{text}; the count alone proposed {_with_electrons(proposal.charge, electrons[proposal.charge])}"


def _with_electrons(charge: int, electrons: int) -> str:
    """``+2 (2 superatom electrons)``; without the count where it is negative, which has no meaning."""
    return signed_charge(charge) + (f" ({electrons} superatom electrons)" if electrons >= 0 else "")


def _alternatives(proposal: ChargeProposal, charge: int) -> str:
    others = [_with_electrons(q, n) for q, n in proposal.candidates if q != charge]
    return f"; alternatives: {', '.join(others)}" if others and proposal.superatom_electrons is not None else ""


def _widest(proposal: ChargeProposal, computed: FrontierGaps) -> int:
    """The charge that the count puts first, unless another one opens a clear and much wider gap."""
    gaps = {q: gap for q, gap in computed.gaps_ev.items() if gap is not None}
    best = max(gaps, key=lambda q: gaps[q], default=proposal.charge)
    if best == proposal.charge or proposal.charge not in computed.gaps_ev:
        return proposal.charge
    wide = gaps[best] >= max(CLEAR_GAP_EV, _WIDER * gaps.get(proposal.charge, 0.0) + SMALL_GAP_EV)
    return best if wide else proposal.charge


def _warn_of_gap(stated: int, computed: FrontierGaps) -> list[str]:
    """A warning where a stated charge closes the gap and another opens it."""
    gap = computed.gaps_ev.get(stated)
    better = [q for q, other in computed.gaps_ev.items() if other is not None and other >= CLEAR_GAP_EV and q != stated]
    if not better or gap is None or gap >= SMALL_GAP_EV:
        return []
    return [f"charge {signed_charge(stated)} is stated, but leaves hardly a gap; gaps of ground states: {computed}"]


def _count_witness(proposal: ChargeProposal) -> ChargeWitness:
    return ChargeWitness("superatom count", proposal.charge, proposal.reason)


def _gap_witness(computed: FrontierGaps) -> list[ChargeWitness]:
    """The charge with the widest gap, if that is clear."""
    gaps = {q: gap for q, gap in computed.gaps_ev.items() if gap is not None and gap >= CLEAR_GAP_EV}
    best = max(gaps, key=lambda q: gaps[q], default=None)
    reason = f"gaps: {computed}" if computed.gaps_ev else "not computed"
    return [ChargeWitness("ground state", best, f"{reason} ({computed.note})" if computed.note else reason)]


def _candidates(
    proposal: ChargeProposal, computed: FrontierGaps, first: int | None = None
) -> tuple[tuple[int, int, float | None], ...]:
    """Every candidate with its gap, the charge taken first."""
    listed = [(q, n, computed.gaps_ev.get(q)) for q, n in proposal.candidates]
    return tuple(sorted(listed, key=lambda candidate: candidate[0] != first))
