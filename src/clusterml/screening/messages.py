"""A few lines for the terminal on how a screen or a design went."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from clusterml.screening.page.screen_page import REPORT
from clusterml.screening.space import recipe_words
from clusterml.screening.spectra import SMALLEST_GAP_EV
from clusterml.screening.verification import hits_words
from clusterml.spectrum.significance import in_full

if TYPE_CHECKING:
    from clusterml.screening.design.path import DesignResult
    from clusterml.screening.run import ScreenResult
    from clusterml.screening.uncertain import DatasetAddition
    from clusterml.screening.verification import Verification

_SHOWN = 5


def describe_screen(result: ScreenResult) -> Iterator[str]:
    """Say what was evaluated and dropped, which candidates are best, how they verify, and where the results are."""
    board, run = result.board, result.run
    rate = "" if run.rate is None else f"; {run.rate:.3g} per second"
    yield f"{board.evaluated} candidates: {board.valid} valid, {board.feasible} within all constraints{rate}"
    for reason, rejection in board.rejections.to_dict().items():
        yield f"  dropped {rejection['count']}: {reason} (e.g. {rejection['example']})"
    if board.small_gap:
        yield f"  {board.small_gap} have a gap below {SMALLEST_GAP_EV:g} eV and would get no label: do not trust them"
    if board.out_of_domain:
        yield f"  {board.out_of_domain} are outside the network's domain"
    for candidates, reason in run.lost_blocks.items():
        yield f"  candidates {candidates} were lost: {reason}; --resume tries them again"
    names = run.bench.merit.names
    for rank, entry in enumerate(board.ranked[:_SHOWN], start=1):
        values = ", ".join(
            f"{name} {value.value:.4g}" + ("" if value.std is None else f" +- {value.std:.2g}")
            for name, value in zip(names, entry.row.values, strict=True)
        )
        flags = [f"violates {', '.join(entry.standing.violated)}"] if entry.standing.violated else []
        flags += {True: ["in domain"], False: ["out of domain"], None: []}[entry.row.in_domain]
        flags += [f"CD: {in_full(entry.row.sign)}"] if entry.row.sign else []
        recipe = candidate_words(result, entry.row.number)
        yield f"{rank}. {recipe} [{entry.row.name}]: {values}" + (f" ({'; '.join(flags)})" if flags else "")
    if run.bench.setting.by_engine:
        protocol = run.bench.predictor.provenance["label_protocol"]
        yield f"labels of the engine ({protocol}) ranked the candidates, so that there is nothing to verify"
    if result.verification is not None:
        yield _describe_verification(result.verification)
        for name, share in _wrong_signs(result.verification):
            yield f"  {name} has the sign of the label for only {100.0 * share:.0f} % of the random candidates"
        for number, problem in result.verification.failed.items():
            yield f"  candidate {number} has no label: {problem}"
    yield f"results in {result.folder}, shown by {REPORT}"


def candidate_words(result: ScreenResult, number: int) -> str:
    """A candidate in words; a user's own has only its number."""
    space = result.run.bench.space
    return recipe_words(space.recipe(number).to_dict(space.screen)) if space.screen.parents else f"candidate {number}"


def _describe_verification(verification: Verification) -> str:
    statistics = verification.statistics()
    hits, random = statistics["hits"], statistics["score"]["random"]
    words = [f"{len(verification.label_of) - len(verification.failed)} labelled"]
    if random["spearman"] is not None:
        words.append(f"rank correlation {random['spearman']:.2f} on {random['count']} random candidates")
    words.append(hits_words(hits))
    return "verified: " + "; ".join(words)


def _wrong_signs(verification: Verification) -> Iterator[tuple[str, float]]:
    """Lines whose sign is wrong more than once in ten, with the share that is right."""
    for name, parts in verification.statistics()["lines"].items():
        share = parts["random"]["same_sign"]
        if share is not None and share < 0.9:
            yield name, share


def describe_design(result: DesignResult) -> Iterator[str]:
    """Describe the best end of a design beside its start."""
    best = result.best
    start = result.start
    steps = sum(step.count > 0 for step in result.paths[best.climb - 1])
    best_of_screen, end = result.best_of_screen, result.end.point.evaluation.standing.score
    if best_of_screen is not None:
        score = best_of_screen.point.evaluation.standing.score
        yield f"started from the screen in {result.screen_folder}, whose best candidate has score {score:.4g}"
        if result.is_worse:
            yield f"warning: the design ends below it, at {end:.4g}: the screen's best candidate is kept as best.extxyz"
    if not result.is_worse:
        yield f"best end: {best.name}, score {end:.4g}, after {steps} steps"
    evaluations = start.point.evaluation, best.point.evaluation
    for at, name in enumerate(result.bench.merit.names):
        before, after = (evaluation.values[at] for evaluation in evaluations)
        std = "" if after.std is None else f" +- {after.std:.2g}"
        label = result.label
        engine = "" if label is None or label.problem else f"; engine {label.values[at].value:.4g}"
        yield f"  {name}: {before.value:.4g} to {after.value:.4g}{std}{engine}"
    for warning in best.point.evaluation.prediction.warnings:
        yield f"  {warning}"
    if result.label is not None and result.label.problem:
        yield f"  the engine has no label: {result.label.problem}"


def describe_addition(addition: DatasetAddition) -> Iterator[str]:
    """Say how many of the least certain candidates were labelled, and where their records are."""
    yield f"{len(addition.names)} of the least certain candidates labelled and added to {addition.folder}"
    if addition.before:
        yield f"  {addition.before} records were there before"
    for name, reason in addition.failed.items():
        yield f"  {name} has no label: {reason}"
