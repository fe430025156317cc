"""The active orbital window and the couplings between singly excited configurations, never built as a matrix.

Everything the singles problem needs, as torch tensors on one device (stda-xtb.md, 11.1 to 11.3).

With Löwdin coefficients L_o, L_v and M = L_o X L_v^T (all over atomic functions, A(mu) the atom of mu):
  (ij|ab)_J term:  L_o^T (G * M) L_v,   G_mu,nu = gamma_A(mu)A(nu), * elementwise;
  (ia|jb)_K term:  q_A = sum_{mu in A} M_mu,mu,  then  L_o^T diag((gamma q)_A(mu)) L_v;
  (ib|ja)_K term:  L_o^T (G * M^T) L_v.
Cost per vector: 4 (n_rows n_o n_v + n_rows^2 n_v) operations; memory two n_rows^2 matrices and the vectors.
These products are in single precision where there are many configurations: they are small beside the diagonal, and
rounding changes spectra by 1e-6 of the absorption maximum.  Vectors and their products with each other stay double.

The shift (stda-xtb.md, 11.4) depends on single configurations, so it is not invariant when degenerate orbitals are
rotated among themselves.  The smooth mode evaluates it at an exchange integral averaged over orbitals close in energy:
sums over a whole degenerate set contain only the projector on the set, which no rotation changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, Union

import numpy as np

from clusterml.engine import integrals
from clusterml.engine.linalg import overlap_powers, own_threads, threads_for, together
from clusterml.engine.orbitals.orbitals import Orbitals
from clusterml.engine.parameters import tables
from clusterml.errors import ElectronicStructureError
from clusterml.typing import FloatArray, IntArray
from clusterml.units import REFERENCE_HARTREE_EV, REFERENCE_KSHIFT_EV_HARTREE, REFERENCE_THRESHOLD_HARTREE_EV

if TYPE_CHECKING:
    import torch


Loewdin = Literal["spherical", "cartesian"]

Chosen = Union[slice, "torch.Tensor"]
"""Some orbitals: a slice, or a mask."""

_TOGETHER = 8192
"""Pairs of orbitals whose charges are computed at a time."""


@dataclass(frozen=True)
class ActiveSpace:
    """Active occupied (n_o) and virtual (n_v) orbitals of a closed-shell molecule, atomic units.

    ``e_o`` (n_o,) and ``e_v`` (n_v,): orbital energies; ``l_o`` (n_rows, n_o), ``l_v`` (n_rows, n_v): Löwdin
    coefficients, rows sorted by atom, ``atom_of_row`` (n_rows,); ``gamma_j``, ``gamma_k`` (n_atoms, n_atoms);
    ``position``, ``velocity``, ``angular`` (3, n_o, n_v): <i|r|a>, <i|nabla|a>, <i|r x nabla|a>.
    """

    e_o: torch.Tensor
    e_v: torch.Tensor
    l_o: torch.Tensor
    l_v: torch.Tensor
    atom_of_row: torch.Tensor
    gamma_j: torch.Tensor
    gamma_k: torch.Tensor
    ax: float
    position: torch.Tensor
    velocity: torch.Tensor
    angular: torch.Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_o, n_v)``."""
        return self.l_o.shape[1], self.l_v.shape[1]

    @property
    def n_csf(self) -> int:
        """Number of singly excited configurations in the window."""
        return self.shape[0] * self.shape[1]

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.gamma_k)

    @property
    def gaps(self) -> torch.Tensor:
        """Orbital energy differences e_a - e_i, shape (n_o, n_v)."""
        return self.e_v[None, :] - self.e_o[:, None]

    def restricted(self, occupied: Chosen, virtual: Chosen) -> ActiveSpace:
        """Some ``occupied`` with some ``virtual`` orbitals."""
        names = ("position", "velocity", "angular")
        return replace(
            self,
            e_o=self.e_o[occupied],
            e_v=self.e_v[virtual],
            l_o=self.l_o[:, occupied],
            l_v=self.l_v[:, virtual],
            **{name: getattr(self, name)[:, occupied][:, :, virtual] for name in names},
        )

    def charge_blocks(self, occupied: slice) -> list[tuple[slice, Callable[[], torch.Tensor]]]:
        """A few of the ``occupied`` orbitals at a time, and what computes q^A_ia (n_atoms, n) of all their pairs."""
        from torch.nn.utils.rnn import pad_sequence

        counts = self.atom_of_row.bincount(minlength=self.n_atoms).tolist()
        few = max(1, _TOGETHER // self.shape[1])
        # functions of each atom, padded to the same number: (n_atoms, functions, orbitals)
        l_o, l_v = (pad_sequence(list(x.split(counts)), batch_first=True) for x in (self.l_o[:, occupied], self.l_v))
        l_o = l_o.transpose(1, 2).contiguous()

        def charges(first: int) -> torch.Tensor:
            return (l_o[:, first : first + few] @ l_v).flatten(1)

        begin, stop = occupied.start, occupied.start + l_o.shape[1]
        firsts = range(0, l_o.shape[1], few)
        return [(slice(begin + k, min(begin + k + few, stop)), partial(charges, k)) for k in firsts]

    def moments(self, occupied: slice) -> torch.Tensor:
        """r sqrt(D), nabla / sqrt(D) and (r x nabla) / sqrt(D) of all pairs of some ``occupied`` orbitals, (9, n)."""
        import torch

        root = self.gaps[occupied].flatten().sqrt()
        r, v, m = (x[:, occupied].flatten(1) for x in (self.position, self.velocity, self.angular))
        return torch.cat([r * root, v / root, m / root])

    def atom_sum(self, rows: torch.Tensor) -> torch.Tensor:
        """Sum ``rows`` (n_rows, ...) over the functions of each atom, shape (n_atoms, ...)."""
        out = rows.new_zeros((self.n_atoms, *rows.shape[1:]))
        return out.index_add_(0, self.atom_of_row, rows)

    def transition_charges(self) -> torch.Tensor:
        """q^A_ia, shape (n_atoms, n_o, n_v)."""
        import torch

        sizes = torch.bincount(self.atom_of_row, minlength=self.n_atoms).tolist()
        blocks = [o.T @ v for o, v in zip(self.l_o.split(sizes), self.l_v.split(sizes), strict=True)]
        return torch.stack(blocks)


def window(orbitals: Orbitals, emax_ev: float) -> tuple[IntArray, IntArray]:
    """Indices of the active occupied and virtual orbitals for states up to ``emax_ev`` (stda-xtb.md, 11.1)."""
    width = 2.0 * (1.0 + 0.8 * orbitals.kernels.ax) * emax_ev / REFERENCE_THRESHOLD_HARTREE_EV
    e = orbitals.energies_ev / REFERENCE_HARTREE_EV
    n_occ = orbitals.n_occupied
    if orbitals.n_virtual == 0:
        raise ElectronicStructureError("there is no virtual orbital to excite into", "check the charge")
    occupied = np.flatnonzero(e[:n_occ] > e[n_occ] - width)
    virtual = n_occ + np.flatnonzero(e[n_occ:] < e[n_occ - 1] + width)
    return occupied, virtual


def _loewdin(orbitals: Orbitals, kind: Loewdin, device: torch.device) -> tuple[torch.Tensor, IntArray]:
    """Löwdin-orthogonalised coefficients of all kept orbitals (n_rows, n_mo), and the atom of each row."""
    import torch

    basis = orbitals.basis
    atoms: IntArray = basis.atom_of_ao
    if kind == "spherical" and orbitals.loewdin is not None:
        return torch.as_tensor(orbitals.loewdin, device=device), atoms
    c = torch.as_tensor(orbitals.coefficients, device=device)
    if kind == "spherical":
        s = integrals.overlap(basis)
    else:
        s, to_cart = integrals.cartesian_overlap(basis)
        c = torch.as_tensor(to_cart, device=device) @ c
        atoms = integrals.cartesian_atoms(basis)
    root, _ = overlap_powers(torch.as_tensor(s, device=device))
    return root @ c, np.asarray(atoms, dtype=np.int64)


def active_space(
    orbitals: Orbitals,
    occupied: IntArray,
    virtual: IntArray,
    loewdin: Loewdin = "spherical",
    dtype: str = "float64",
    device: str = "cpu",
    origin_bohr: FloatArray | None = None,
) -> ActiveSpace:
    """Collect the tensors of the singles problem for the given orbitals.

    ``origin_bohr`` (3,): origin of the magnetic and electric dipole operators (default: the coordinate origin).
    ``dtype`` is the precision of charges and couplings; integrals and energies are computed in float64.
    """
    import torch

    dev, real = torch.device(device), getattr(torch, dtype)
    rows, atoms = _loewdin(orbitals, loewdin, dev)
    c_o = torch.as_tensor(orbitals.coefficients[:, occupied], device=dev)
    c_v = torch.as_tensor(orbitals.coefficients[:, virtual], device=dev)
    basis = orbitals.basis
    shifted = basis if origin_bohr is None else basis.translated(-np.asarray(origin_bohr))
    kernels = orbitals.kernels

    def moment(matrix: FloatArray) -> torch.Tensor:
        m = torch.as_tensor(matrix, device=dev)
        return ((c_o.T @ m) @ c_v if len(occupied) < len(virtual) else c_o.T @ (m @ c_v)).to(real)

    matrices = [*integrals.dipole(shifted), *integrals.gradient(shifted), *integrals.angular(shifted)]
    with own_threads():
        moments = together([partial(moment, matrix) for matrix in matrices], threads_for(c_o))

    def tensor(array: FloatArray) -> torch.Tensor:
        return torch.as_tensor(array, device=dev, dtype=real)

    e = orbitals.energies_ev / REFERENCE_HARTREE_EV
    return ActiveSpace(
        e_o=tensor(e[occupied]),
        e_v=tensor(e[virtual]),
        l_o=rows[:, torch.as_tensor(occupied, device=dev)].to(real).contiguous(),
        l_v=rows[:, torch.as_tensor(virtual, device=dev)].to(real).contiguous(),
        atom_of_row=torch.as_tensor(atoms, device=dev),
        gamma_j=tensor(kernels.j),
        gamma_k=tensor(kernels.k),
        ax=kernels.ax,
        position=torch.stack(moments[:3]),
        velocity=torch.stack(moments[3:6]),
        angular=torch.stack(moments[6:]),
    )


_SINGLE_FROM = 20_000
"""Configurations from which on their couplings are computed in single precision."""


class Couplings:
    """Matrix-free products with the singles matrices of one :class:`ActiveSpace`.

    Vectors are tensors (k, n_o, n_v). ``diagonal`` (n_o, n_v) is everything diagonal that is not a two-electron
    integral: orbital energy differences plus the K-shift. ``weight`` (n_o, n_v) multiplies every two-electron
    integral once per configuration (one by default): configurations of weight 0 are decoupled.
    """

    def __init__(self, space: ActiveSpace, diagonal: torch.Tensor, weight: torch.Tensor | None = None) -> None:
        self.space = space
        self.diagonal = diagonal
        self.weight = weight
        import torch

        dtype = space.l_o.dtype if space.n_csf < _SINGLE_FROM else torch.float32
        rows = space.atom_of_row
        self._minus_j = -space.gamma_j[rows][:, rows].to(dtype)
        self._gamma_k = space.gamma_k.to(dtype)
        self._l_o, self._l_v = space.l_o.to(dtype), space.l_v.to(dtype)
        self._l_o_t, self._l_v_t = self._l_o.T.contiguous(), self._l_v.T.contiguous()

    def _weighted(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.weight is None else x * self.weight

    def apply_a(self, x: torch.Tensor) -> torch.Tensor:
        """A x = (diagonal + 2 (ia|jb)_K - (ij|ab)_J) x for singlets; x and result (k, n_o, n_v)."""
        import torch

        s = self.space
        out = torch.empty_like(x)
        for n, vector in enumerate(self._weighted(x).to(self._l_o.dtype)):
            m = (self._l_o @ vector) @ self._l_v_t
            potential = 2.0 * (self._gamma_k @ s.atom_sum(torch.diagonal(m)))[s.atom_of_row]
            m.mul_(self._minus_j)
            m.diagonal().add_(potential)
            out[n] = self._l_o_t @ (m @ self._l_v)
        return self._weighted(out).addcmul_(self.diagonal, x)

    def apply_b(self, x: torch.Tensor) -> torch.Tensor:
        """B x = (2 (ia|jb)_K - a_x (ib|ja)_K) x; x and result (k, n_o, n_v) (stda-xtb.md, section 12)."""
        import torch

        s = self.space
        gamma = s.gamma_k[s.atom_of_row][:, s.atom_of_row]
        out = torch.empty_like(x)
        for n, vector in enumerate(self._weighted(x)):
            m = (s.l_o @ vector) @ s.l_v.T
            potential = 2.0 * (s.gamma_k @ s.atom_sum(torch.diagonal(m)))[s.atom_of_row]
            m = (gamma * m.T).mul_(-s.ax)
            m.diagonal().add_(potential)
            out[n] = s.l_o.T @ (m @ s.l_v)
        return self._weighted(out)


def exchange_integrals(space: ActiveSpace) -> torch.Tensor:
    """K_ia = (ia|ia)_K of every configuration, shape (n_o, n_v)."""
    q = space.transition_charges()
    flat = q.reshape(space.n_atoms, -1)
    return (flat * (space.gamma_k @ flat)).sum(0).reshape(space.shape)


def coulomb_integrals(space: ActiveSpace) -> torch.Tensor:
    """J_ia = (ii|aa)_J of every configuration, shape (n_o, n_v)."""
    return space.atom_sum(space.l_o**2).T @ space.gamma_j @ space.atom_sum(space.l_v**2)


def k_shift(k: torch.Tensor) -> torch.Tensor:
    """Shift D / (1 + (K/w)^4) in hartree for exchange integrals ``k`` (hartree), any shape."""
    p = tables()["stda"]
    maximum = p["kshift_max_eV"] * REFERENCE_KSHIFT_EV_HARTREE
    width = p["kshift_width_eV"] * REFERENCE_KSHIFT_EV_HARTREE
    return maximum / (1.0 + (k / width) ** p["kshift_steepness"])


def averaged(k: torch.Tensor, e_o: torch.Tensor, e_v: torch.Tensor, width: float) -> torch.Tensor:
    """Energy-weighted average of exchange integrals over near-degenerate orbitals (stda-xtb.md, section 17).

    Kbar_ia = sum w K_i'a' / sum w with w = exp(-((e_i - e_i')^2 + (e_a - e_a')^2) / (2 width^2)); ``k`` (n_o, n_v),
    ``e_o`` (n_o,), ``e_v`` (n_v,) and ``width`` in the same energy unit.
    """
    w_o = (-((e_o[:, None] - e_o[None, :]) ** 2) / (2.0 * width**2)).exp()
    w_v = (-((e_v[:, None] - e_v[None, :]) ** 2) / (2.0 * width**2)).exp()
    return (w_o @ k @ w_v) / (w_o.sum(1)[:, None] * w_v.sum(1)[None, :])
