"""The loop: epochs of steps, the learning rate, validation after each epoch, and what must survive a crash."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from clusterml.io.files import make_folder
from clusterml.io.json import plain
from clusterml.training.config import BatchConfig, Config, ScheduleConfig
from clusterml.training.journal import TensorBoard, draw_curves, write_logs
from clusterml.training.material import LabelledSet
from clusterml.training.metrics import TrainingMean, cosine, median, r2
from clusterml.training.parallel import Group, plan, share, shuffled
from clusterml.training.state import Average, Checkpoints, State, TrainingError, gathered, restore
from clusterml.training.step import Forward, Loss, Outcome, SingularError, Stepper
from clusterml.training.targets import SPECTRA

if TYPE_CHECKING:
    from clusterml.model.graph import Graph


def share_of_rate(config: ScheduleConfig, epoch: float, steps_down: int) -> float:
    """The learning rate at ``epoch`` (a fraction within one), as a share of the configured one.

    ``steps_down``: see :func:`plateau_steps`; a cosine does not look at it.
    """
    rise = min(1.0, epoch / config.warmup_epochs) if config.warmup_epochs > 0.0 else 1.0
    if config.kind == "plateau":
        return rise * max(config.floor, config.factor**steps_down)
    length = max(config.epochs - config.warmup_epochs, 1e-9)
    progress = min(1.0, max(0.0, epoch - config.warmup_epochs) / length)
    return rise * (config.floor + (1.0 - config.floor) * 0.5 * (1.0 + math.cos(math.pi * progress)))


def plateau_steps(config: ScheduleConfig, losses: list[float]) -> int:
    """How often the rate of a plateau schedule has stepped down after epochs with these validation ``losses``.

    A step follows ``patience`` epochs in which none was better than the best before, and then counting begins anew.
    """
    best, waited, steps = math.inf, 0, 0
    for loss in losses:
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited >= config.patience:
            steps, waited = steps + 1, 0
    return steps


QUANTITIES = {"epsilon": "absorption", "delta_epsilon": "cd"}
"""Output -> its name in front of the metrics."""


class Validator:
    """Validation of a network on ``part``; ``means``: the training means of both spectra, by output."""

    def __init__(
        self,
        forward: Forward,
        loss: Loss,
        part: LabelledSet,
        means: dict[str, TrainingMean],
        group: Group,
        batches: BatchConfig,
    ) -> None:
        self._forward = forward
        self._loss = loss
        self._part = part
        self._group = group
        self._names = (*loss.weights, "loss")
        self._known = part.spectra("known")
        self._target = {name: self._known * part.spectra(name) for name in SPECTRA}
        self._mean = {name: self._known * means[name].of(part.groups) for name in SPECTRA}
        planned = plan(part.sizes, batches.edges, batches.structures, processes=group.size)
        self._batches = [share(batch, part.sizes, group.size, group.rank) for batch in planned]

    def __call__(self) -> dict[str, float]:
        """``validation_<term>`` (means over the structures), median cosines, R2 against the training mean.

        ``validation_failed``: structures without a finite loss, which the other numbers leave out; they are NaN if no
        structure is left.
        """
        table = self._table()
        good = torch.isfinite(table).all(dim=1)
        metrics = {"validation_failed": float((~good).sum())}
        means = table[good].mean(dim=0).tolist() if good.any() else [math.nan] * table.shape[1]
        metrics |= {f"validation_{name}": value for name, value in zip(self._names, means, strict=False)}
        spectra = table[good, len(self._names) :].numpy()
        rows = good.numpy()
        for number, (name, quantity) in enumerate(QUANTITIES.items()):
            points = self._target[name].shape[1]
            predicted = self._known[rows] * spectra[:, number * points : (number + 1) * points]
            target = self._target[name][rows]
            metrics[f"{quantity}_cosine"] = median(cosine(predicted, target))
            metrics[f"{quantity}_r2"] = r2(predicted, target, self._mean[name][rows])
        return metrics

    def _table(self) -> Tensor:
        """One row for each structure: its terms, then its predicted spectra; NaN where the network failed."""
        width = len(self._names) + sum(target.shape[1] for target in self._target.values())
        table = torch.zeros(len(self._part), width, dtype=torch.float64, device=self._group.device)
        self._forward.network.eval()
        with torch.no_grad():
            for batch in self._batches:
                if batch:
                    table[batch] = self._rows([self._part.samples[k] for k in batch], width)
        self._forward.network.train()
        return self._group.add(table).cpu()

    def _rows(self, samples: Sequence[Graph], width: int) -> Tensor:
        try:
            predicted, batch = self._forward(samples)
        except SingularError:  # of a matrix with NaN: find out whose
            if len(samples) == 1:
                return torch.full((1, width), math.nan, dtype=torch.float64, device=self._group.device)
            return torch.cat([self._rows([sample], width) for sample in samples])
        terms = self._loss(predicted, batch)
        columns = [terms[name][:, None] for name in self._names] + [predicted[name] for name in SPECTRA]
        return torch.cat([column.double() for column in columns], dim=1)


_SECONDS_BETWEEN_FIGURES = 60.0


@dataclass(frozen=True)
class Progress:
    """How far a run is; ``loss``: mean over this epoch so far; ``last``: the row of the last finished epoch.

    ``message``: something the user should know, such as a batch that was skipped.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    last: dict[str, Any] | None
    seconds_left: float
    message: str = ""


Watch = Callable[[Progress], None]


class Trainer:
    """Trains ``network`` on ``train``, validates on ``validation``, keeps its state in ``folder``.

    Begins where the last checkpoint in ``folder`` stands, if there is one.
    """

    def __init__(
        self,
        config: Config,
        network: nn.Module,
        loss: Loss,
        train: LabelledSet,
        validation: LabelledSet,
        group: Group,
        folder: Path,
        watch: Watch,
    ) -> None:
        self._config = config
        self._train = train
        self._group = group
        self._folder = folder
        self._watch = watch
        self._network = network.to(group.device).train()
        self._average = Average(self._network, config.ema)
        options = config.optimizer
        self._optimizer = torch.optim.AdamW(
            self._network.parameters(), lr=options.lr, weight_decay=options.weight_decay, betas=options.betas
        )
        forward = Forward(self._network, group.device, config.precision)
        self._step = Stepper(forward, loss, self._optimizer, group, clip=options.clip, rows=len(train))
        means = {name: train.mean(name) for name in SPECTRA}
        self._validate = Validator(forward, loss, validation, means, group, config.batches)
        self._checkpoints = Checkpoints(folder)
        self._board = (
            TensorBoard(make_folder(folder / "tensorboard", within=folder))
            if config.tensorboard and group.main
            else None
        )
        self._since = self._saved = time.monotonic()
        self._drawn = self._since
        self.state = State()
        self._resume()

    def run(self) -> None:
        """Train to the last epoch, or until the validation loss has not improved for ``stop_after`` epochs.

        Raises :class:`TrainingError` if too many batches are skipped, or no validation structure has a finite loss.
        """
        while not self._finished():
            self._epoch()
        if self._group.main and self.state.history:
            draw_curves(self._folder / "curves.png", self.state.history)

    def _finished(self) -> bool:
        state, patience = self.state, self._config.stop_after
        waited = state.epoch - state.best_epoch
        return state.epoch >= self._config.schedule.epochs or (
            patience is not None and state.best_loss is not None and waited >= patience
        )

    def _resume(self) -> None:
        kept = self._checkpoints.latest()
        if kept is not None:
            self.state, tensors = kept
            restore(tensors, self._network, self._average, self._optimizer)
        self._group.wait()  # nobody may write before all have read

    def _epoch(self) -> None:
        state, config = self.state, self._config
        order = shuffled(len(self._train), config.seed, state.epoch)
        sizes, limits = self._train.sizes, config.batches
        batches = plan(sizes, limits.edges, limits.structures, processes=self._group.size, order=order)
        steps_down = plateau_steps(config.schedule, [row["validation_loss"] for row in state.history])
        while state.batch < len(batches):
            batch = batches[state.batch]
            self._set_rate(state.epoch + (state.batch + 1) / len(batches), steps_down)
            mine = share(batch, sizes, self._group.size, self._group.rank)
            outcome = self._step([self._train.samples[k] for k in mine], len(batch))
            state.batch += 1
            message = self._account(outcome, len(batch))
            self._tell(len(batches), message)
            self._save_in_time()
        self._close_epoch()

    def _set_rate(self, epoch: float, steps_down: int) -> None:
        rate = self._config.optimizer.lr * share_of_rate(self._config.schedule, epoch, steps_down)
        for options in self._optimizer.param_groups:
            options["lr"] = rate

    def _account(self, outcome: Outcome, count: int) -> str:
        """Take a step into the state; returns what the user should know."""
        state = self.state
        if not outcome.bad:
            state.step += 1
            self._average.update(state.step)
            state.counted += count
            for name, value in {**outcome.sums, "norm": count * outcome.norm}.items():
                state.sums[name] = state.sums.get(name, 0.0) + value
            return ""
        names = [self._train.ids[row] for row in outcome.bad]
        state.skipped.append({"epoch": state.epoch, "batch": state.batch - 1, "records": names})
        if len(state.skipped) > self._config.most_skipped:
            raise TrainingError(
                f"{len(state.skipped)} batches had a loss or gradient that is not finite, the last because of "
                f"{', '.join(names)}",
                "look at these records and their labels, lower optimizer.lr, or raise most_skipped",
            )
        return f"skipped a batch: loss or gradient is not finite for {', '.join(names)}"

    def _close_epoch(self) -> None:
        state = self.state
        with self._average.applied():
            metrics = self._validate()
        if not math.isfinite(metrics["validation_loss"]):
            raise TrainingError(
                f"epoch {state.epoch + 1}: no validation structure has a finite loss", "lower optimizer.lr"
            )
        state.history.append(self._row(metrics))
        state.epoch, state.batch, state.sums, state.counted = state.epoch + 1, 0, {}, 0
        better = state.best_loss is None or metrics["validation_loss"] < state.best_loss
        if better:
            state.best_epoch, state.best_loss = state.epoch, metrics["validation_loss"]
        self._save(best=better)
        self._note(state.history[-1])

    def _row(self, metrics: dict[str, float]) -> dict[str, Any]:
        state = self.state
        means = {f"train_{name}": value / state.counted for name, value in state.sums.items()}
        skipped = sum(each["epoch"] == state.epoch for each in state.skipped)
        rate = self._optimizer.param_groups[0]["lr"]
        seconds = state.seconds + time.monotonic() - self._since
        row = {"epoch": state.epoch + 1, "step": state.step, "lr": rate, **means, **metrics}
        return dict(plain({**row, "skipped": skipped, "seconds": round(seconds, 2)}))

    def _save_in_time(self) -> None:
        if time.monotonic() - self._saved >= 60.0 * self._config.save_minutes:
            self._save(best=False)

    def _save(self, *, best: bool) -> None:
        now = time.monotonic()
        self.state.seconds += now - self._since
        self._since = self._saved = now
        if self._group.main:
            self._checkpoints.save(self.state, gathered(self._network, self._average, self._optimizer), best=best)

    def _note(self, row: dict[str, Any]) -> None:
        if not self._group.main:
            return
        write_logs(self._folder, self.state.history, self.state.skipped)
        if self._board is not None:
            self._board.add(row)
        if time.monotonic() - self._drawn >= _SECONDS_BETWEEN_FIGURES:
            draw_curves(self._folder / "curves.png", self.state.history)
            self._drawn = time.monotonic()

    def _tell(self, batches: int, message: str) -> None:
        if not self._group.main:
            return
        state, epochs = self.state, self._config.schedule.epochs
        spent = state.seconds + time.monotonic() - self._since
        finished = state.epoch * batches + state.batch
        left = spent / finished * (epochs * batches - finished)
        loss = state.sums.get("loss", math.nan) / state.counted if state.counted else math.nan
        last = state.history[-1] if state.history else None
        self._watch(Progress(state.epoch + 1, epochs, state.batch, batches, loss, last, left, message))
