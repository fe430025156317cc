from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from clusterml.errors import OptionError
from clusterml.training.config import LossConfig
from clusterml.training.step import Loss, divergence

STEP = 0.04
OFF = dict.fromkeys(LossConfig.model_fields, 0.0) | {"huber": 1.0, "floor": 0.3}


class Batch(SimpleNamespace):
    def __getitem__(self, name):
        return getattr(self, name)


def band(place: int, height: float = 1.0) -> torch.Tensor:
    return height * torch.exp(-((torch.arange(121.0) - place) ** 2) / 18.0)[None]


def batch(**changes) -> Batch:
    values = {"epsilon": band(40), "delta_epsilon": band(40), "gap_ev": torch.ones(1)}
    values |= {"known": torch.ones(1, 121), "epsilon_scale": torch.ones(1), "delta_epsilon_scale": torch.ones(1)}
    return Batch(**(values | changes))


def loss(**weights) -> Loss:
    return Loss(LossConfig(**(OFF | weights)), STEP, {"gap_ev": 2.0})


def test_squares_and_huber_agree_near_zero_and_part_far_away():
    small, large = band(40) + 0.5, band(40) + 10.0
    both = {huber: loss(delta_epsilon=1.0, huber=huber) for huber in (1.0, None)}
    for each in both.values():
        torch.testing.assert_close(each({"delta_epsilon": small}, batch())["loss"], torch.tensor([0.125]))
    assert float(both[None]({"delta_epsilon": large}, batch())["loss"]) == pytest.approx(50.0, rel=1e-5)
    assert float(both[1.0]({"delta_epsilon": large}, batch())["loss"]) == pytest.approx(9.5, rel=1e-5)


def test_residuals_are_in_units_of_the_scale():
    each = loss(delta_epsilon=1.0, delta_epsilon_cumulative=1.0)
    one = each({"delta_epsilon": band(42)}, batch())
    scaled = each(
        {"delta_epsilon": 50 * band(42)},
        batch(delta_epsilon=50 * band(40), delta_epsilon_scale=torch.tensor([50.0])),
    )
    for name, value in one.items():
        torch.testing.assert_close(value, scaled[name])


def test_the_cumulative_term_grows_with_the_distance_of_a_band_where_the_other_does_not():
    each = loss(delta_epsilon=1.0, delta_epsilon_cumulative=1.0)
    near, far = (each({"delta_epsilon": band(place)}, batch()) for place in (60, 80))
    torch.testing.assert_close(near["delta_epsilon"], far["delta_epsilon"], rtol=1e-3, atol=0.0)
    assert float(far["delta_epsilon_cumulative"]) == pytest.approx(
        2.0 * float(near["delta_epsilon_cumulative"]), rel=0.15
    )
    assert float(each({"delta_epsilon": band(40)}, batch())["loss"]) == 0.0


def test_tensors_count_in_units_of_their_own_scale():
    each, tensor = loss(rotatory_tensor=2.0), torch.zeros(1, 121, 3, 3)
    tensor[0, 60, 0, 1] = 1.0
    known = batch(rotatory_tensor=torch.zeros_like(tensor), rotatory_tensor_scale=torch.tensor([2.0]))
    one = each({"rotatory_tensor": tensor}, known)
    assert float(one["loss"]) == pytest.approx(2.0 * 0.5 * 0.25 / (121 * 9))


def test_the_ground_state_counts_atom_by_atom_and_interval_by_interval():
    """Two clusters of two and one core atoms, the first with a hydrogen between them, which counts for nothing."""
    charges = torch.tensor([[0.1, 0.0, 0.2], [9.0, 9.0, 9.0], [0.0, 0.0, 0.0], [0.3, 0.3, 0.3]])
    levels = torch.tensor([[3.0, 4.0], [1.0, 0.0]])
    own = {"core_index": torch.tensor([0, 2, 3]), "batch": torch.tensor([0, 0, 0, 1]), "num_graphs": 2}
    each = loss(shell_charges=1.0, level_histogram=1.0)
    said = {"shell_charges": charges[[0, 2, 3]], "level_histogram": levels}
    asked = batch(shell_charges=charges, level_histogram=levels, **own)
    assert each(said, asked)["loss"].tolist() == [0.0, 0.0]
    said = {"shell_charges": said["shell_charges"] + 0.05, "level_histogram": levels + torch.tensor([[5.0], [0.0]])}
    terms = each(said, asked)
    torch.testing.assert_close(terms["shell_charges"], torch.tensor([0.125, 0.125]))
    torch.testing.assert_close(terms["level_histogram"], torch.tensor([5.0 / 12.5**0.5 - 0.5, 0.0]))


def test_the_divergence_sees_the_shape_and_not_the_height():
    torch.testing.assert_close(divergence(3.0 * band(40), band(40)), torch.zeros(1), atol=1e-6, rtol=0.0)
    assert float(divergence(band(60), band(40))) > 1.0
    torch.testing.assert_close(divergence(band(60), band(40)), divergence(band(40), band(60)))
    predicted = (-band(60)).requires_grad_()
    divergence(predicted, band(40)).sum().backward()
    assert torch.isfinite(predicted.grad).all()
    assert torch.isfinite(divergence(torch.zeros(1, 121), torch.zeros(1, 121))).all()


def test_terms_are_weighted_and_those_without_weight_are_not_asked_for():
    each = loss(epsilon=2.0, gap_ev=0.5)
    terms = each({"epsilon": band(40) + 1.0, "gap_ev": torch.tensor([2.0])}, batch())
    assert set(terms) == {"epsilon", "gap_ev", "loss"}
    torch.testing.assert_close(terms["loss"], torch.tensor([2.0 * 0.5 + 0.5 * 0.125]))


def test_a_loss_that_cannot_be_is_refused():
    with pytest.raises(OptionError, match="every weight"):
        loss()
    with pytest.raises(OptionError, match=r"does not predict 'gap_ev', but epsilon.*loss\.gap_ev"):
        loss(gap_ev=1.0)({"epsilon": band(40)}, batch())


def test_energies_beyond_a_label_teach_nothing():
    """A network that says anything above the last excitation is neither praised nor blamed for it."""
    weights = {f"{name}{term}": 1.0 for name in ("epsilon", "delta_epsilon") for term in ("", "_cumulative")}
    each = loss(**weights, epsilon_sid=1.0)
    known = (torch.arange(121) < 60).float()[None]
    label = batch(known=known)
    said = {name: band(42).requires_grad_() for name in ("epsilon", "delta_epsilon")}
    more = {name: values + band(100, 50.0) for name, values in said.items()}
    terms, same = each(said, label), each(more, label)
    assert terms["loss"].item() > 0.0
    for name, value in terms.items():
        torch.testing.assert_close(same[name], value)
    each(more, label)["loss"].sum().backward()
    for values in said.values():
        assert float(values.grad[:, 60:].abs().max()) == 0.0
        assert float(values.grad[:, :60].abs().max()) > 0.0
    # the mean is over what is known
    torch.testing.assert_close(
        loss(delta_epsilon=1.0, huber=None)({"delta_epsilon": band(40) + 0.5}, label)["loss"], torch.tensor([0.125])
    )
