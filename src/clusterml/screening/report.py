"""A few lines on how a screen went, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clusterml.screening.run import Finished
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
        flags += ["out of domain"] if entry.row.in_domain is False else []
        yield f"{rank}. {entry.row.name}: {values}" + (f" ({'; '.join(flags)})" if flags else "")
    if done.verification is not None:
        yield _verified(done.verification)
        for number, problem in done.verification.failed.items():
            yield f"  candidate {number} has no label: {problem}"
    yield f"results in {done.folder}"


def _verified(verification: Verification) -> str:
    found = verification.statistics()
    hits, random = found["hits"], found["score"]["random"]
    words = [f"{len(verification.found) - len(verification.failed)} labelled"]
    if random["spearman"] is not None:
        words.append(f"rank correlation {random['spearman']:.2f} on {random['count']} random ones")
    if hits["enrichment"] is not None:
        words.append(f"{100.0 * hits['rate']:.0f} % hits among the best, {hits['enrichment']:.1f} times random")
    return "verified: " + "; ".join(words)
