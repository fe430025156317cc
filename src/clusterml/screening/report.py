"""A few lines on how a screen or a design went, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from clusterml.screening.page.report import REPORT
from clusterml.screening.space import recipe_words
from clusterml.screening.verification import hits_words

if TYPE_CHECKING:
    from clusterml.screening.design.path import Designed
    from clusterml.screening.run import Finished
    from clusterml.screening.uncertain import Added
    from clusterml.screening.verification import Verification

_SHOWN = 5


def told(done: Finished) -> Iterator[str]:
    """What was evaluated and dropped, the best candidates, how they were verified, and where the results are."""
    board, run = done.board, done.run
    rate = "" if run.rate is None else f"; {run.rate:.3g} per second"
    yield f"{board.evaluated} candidates: {board.valid} valid, {board.feasible} within all constraints{rate}"
    for reason, found in board.drops.to_dict().items():
        yield f"  dropped {found['count']}: {reason} (e.g. {found['example']})"
    if board.out_of_domain:
        yield f"  {board.out_of_domain} are outside the network's domain"
    for where, reason in run.lost.items():
        yield f"  candidates {where} were lost: {reason}; --resume tries them again"
    names = run.bench.merit.names
    for rank, entry in enumerate(board.ranked[:_SHOWN], start=1):
        values = ", ".join(
            f"{name} {value.value:.4g}" + ("" if value.std is None else f" +- {value.std:.2g}")
            for name, value in zip(names, entry.row.values, strict=True)
        )
        flags = [f"violates {', '.join(entry.standing.violated)}"] if entry.standing.violated else []
        flags += {True: ["in domain"], False: ["out of domain"], None: []}[entry.row.in_domain]
        flags += [f"CD: {entry.row.sign}"] if entry.row.sign else []
        recipe = label_of(done, entry.row.number)
        yield f"{rank}. {recipe} [{entry.row.name}]: {values}" + (f" ({'; '.join(flags)})" if flags else "")
    if done.verification is not None:
        yield _verified(done.verification)
        for name, share in _wrong_signs(done.verification):
            yield f"  {name} has the sign of the label for {100.0 * share:.0f} % of the random ones only"
        for number, problem in done.verification.failed.items():
            yield f"  candidate {number} has no label: {problem}"
    yield f"results in {done.folder}, shown by {REPORT}"


def label_of(done: Finished, number: int) -> str:
    """A candidate in words; a user's own is only known by its name."""
    space = done.run.bench.space
    return recipe_words(space.recipe(number).to_dict(space.screen)) if space.screen.parents else f"candidate {number}"


def _verified(verification: Verification) -> str:
    found = verification.statistics()
    hits, random = found["hits"], found["score"]["random"]
    words = [f"{len(verification.found) - len(verification.failed)} labelled"]
    if random["spearman"] is not None:
        words.append(f"rank correlation {random['spearman']:.2f} on {random['count']} random ones")
    words += [hits_words(hits)] if hits["enrichment"] is not None else []
    return "verified: " + "; ".join(words)


def _wrong_signs(verification: Verification) -> Iterator[tuple[str, float]]:
    """Lines whose sign is wrong more often than once in ten, with the share that is right."""
    for name, parts in verification.statistics()["lines"].items():
        share = parts["random"]["same_sign"]
        if share is not None and share < 0.9:
            yield name, share


def designed(done: Designed) -> Iterator[str]:
    """The best end of a design beside its start."""
    best = done.best
    start = done.paths[best.climb - 1][0]
    steps = sum(step.count > 0 for step in done.paths[best.climb - 1])
    screened, end = done.screens_best, done.end.climbed.judged.standing.score
    if screened is not None:
        score = screened.climbed.judged.standing.score
        yield f"started from the screen in {done.screened}, whose best candidate has score {score:.4g}"
        if done.is_worse:
            yield f"warning: the design ends below it, at {end:.4g}: the screen's best candidate is kept as best.extxyz"
    if not done.is_worse:
        yield f"best end: {best.name}, score {end:.4g}, after {steps} steps"
    judged = start.climbed.judged, best.climbed.judged
    for at, name in enumerate(done.bench.merit.names):
        before, after = (each.values[at] for each in judged)
        std = "" if after.std is None else f" +- {after.std:.2g}"
        label = done.label
        engine = "" if label is None or label.problem else f"; engine {label.values[at].value:.4g}"
        yield f"  {name}: {before.value:.4g} to {after.value:.4g}{std}{engine}"
    for warning in best.climbed.judged.prediction.warnings:
        yield f"  {warning}"
    if done.label is not None and done.label.problem:
        yield f"  the engine has no label: {done.label.problem}"


def labelled(added: Added) -> Iterator[str]:
    """How many of the least certain candidates were labelled, and where their records are."""
    yield f"{len(added.names)} of the least certain candidates labelled and added to {added.folder}"
    if added.before:
        yield f"  {added.before} records were there before"
    for name, reason in added.failed.items():
        yield f"  {name} has no label: {reason}"
