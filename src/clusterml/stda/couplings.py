"""Couplings between singly excited configurations, without ever building them: the action of A and B on vectors.

With Löwdin coefficients L_o, L_v and M = L_o X L_v^T (all over atomic functions, A(mu) the atom of mu):
  (ij|ab)_J term:  L_o^T (G * M) L_v,   G_mu,nu = gamma_A(mu)A(nu), * elementwise;
  (ia|jb)_K term:  q_A = sum_{mu in A} M_mu,mu,  then  L_o^T diag((gamma q)_A(mu)) L_v;
  (ib|ja)_K term:  L_o^T (G * M^T) L_v.
Cost per vector: 4 (n_rows n_o n_v + n_rows^2 n_v) operations; memory two n_rows^2 matrices and the vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clusterml.stda.active import ActiveSpace

if TYPE_CHECKING:
    import torch


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
        rows = space.atom_of_row
        self._gamma_j = space.gamma_j[rows][:, rows].contiguous()
        self._l_v_t = space.l_v.T.contiguous()
        self._l_o_t = space.l_o.T.contiguous()

    def _weighted(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.weight is None else x * self.weight

    def apply_a(self, x: torch.Tensor) -> torch.Tensor:
        """A x = (diagonal + 2 (ia|jb)_K - (ij|ab)_J) x for singlets; x and result (k, n_o, n_v)."""
        import torch

        s = self.space
        out = torch.empty_like(x)
        for n, vector in enumerate(self._weighted(x)):
            m = (s.l_o @ vector) @ self._l_v_t
            potential = 2.0 * (s.gamma_k @ s.atom_sum(torch.diagonal(m)))[s.atom_of_row]
            m.mul_(self._gamma_j).neg_()
            m.diagonal().add_(potential)
            torch.matmul(self._l_o_t, m @ s.l_v, out=out[n])
        return self._weighted(out).addcmul_(self.diagonal, x)

    def apply_b(self, x: torch.Tensor) -> torch.Tensor:
        """B x = (2 (ia|jb)_K - a_x (ib|ja)_K) x; x and result (k, n_o, n_v) (docs/science/stda-xtb.md, section 12)."""
        import torch

        s = self.space
        gamma = s.gamma_k[s.atom_of_row][:, s.atom_of_row]
        out = torch.empty_like(x)
        for n, vector in enumerate(self._weighted(x)):
            m = (s.l_o @ vector) @ self._l_v_t
            potential = 2.0 * (s.gamma_k @ s.atom_sum(torch.diagonal(m)))[s.atom_of_row]
            m = (gamma * m.T).mul_(-s.ax)
            m.diagonal().add_(potential)
            out[n] = self._l_o_t @ (m @ s.l_v)
        return self._weighted(out)


def exchange_integrals(space: ActiveSpace) -> torch.Tensor:
    """K_ia = (ia|ia)_K of every configuration, shape (n_o, n_v)."""
    q = space.transition_charges()
    flat = q.reshape(space.n_atoms, -1)
    return (flat * (space.gamma_k @ flat)).sum(0).reshape(space.shape)


def coulomb_integrals(space: ActiveSpace) -> torch.Tensor:
    """J_ia = (ii|aa)_J of every configuration, shape (n_o, n_v)."""
    return space.atom_sum(space.l_o**2).T @ space.gamma_j @ space.atom_sum(space.l_v**2)
