"""The tables, cards and sentences of a report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from clusterml.io.display import Markup, joined, small_table, tag
from clusterml.io.display import card as notebook_card
from clusterml.screening.page.figures import spectra_picture
from clusterml.screening.page.markup import table, viewer
from clusterml.screening.page.results import RankedRow, Results, TopCandidate
from clusterml.screening.space import recipe_words
from clusterml.screening.spectra import SMALLEST_GAP_EV
from clusterml.screening.verification import hits_words
from clusterml.spectrum.picture import spectra_picture as small_picture
from clusterml.spectrum.significance import in_full
from clusterml.structure.picture import element_colours, structure_picture


def card(candidate: TopCandidate, results: Results) -> Markup:
    """A card with everything about a candidate."""
    ranked = candidate.ranked
    numbers = (f"{line['name']} {number(*ranked.values[line['name']])}" for line in results.lines)
    picture = spectra_picture(candidate) or tag("p", "no spectrum is in the folder", class_="soft")
    view = viewer(candidate.atoms, f"molecule-{ranked.number}", {"element": element_colours(candidate.atoms)})
    return tag(
        "section",
        tag("h3", f"{ranked.cells['rank']}. {recipe_words(ranked.recipe)}"),
        tag("p", flags(ranked), " ", ", ".join(numbers)),
        tag("p", ranked.name, class_="soft"),
        tag("div", tag("div", picture), view, class_="pair"),
        class_="card",
    )


def flags(ranked: RankedRow) -> Markup:
    """Warnings about a candidate, how sure the sign of its CD is, and whether it is on the front."""
    spans = [tag("span", "in domain", class_="flag")] if ranked.cells["in_domain"] == "yes" else []
    spans += [tag("span", flag, class_="flag warn") for flag in ranked.flags]
    if ranked.sign:
        spans.append(tag("span", in_full(ranked.sign), class_="flag" if ranked.is_sure else "flag warn"))
    if ranked.cells["on_front"] == "yes":
        spans.append(tag("span", "Pareto front", class_="flag"))
    return joined(spans)


def number(value: float, std: float | None) -> str:
    """``1.23 ± 0.04``."""
    return f"{value:.4g}" + ("" if std is None else f" ± {std:.2g}")


_IN_NOTEBOOKS = 5


def screen_card(title: str, results: Results) -> str:
    """What a notebook shows of a screen: its best candidates, spectra and structure of the first, and warnings."""
    names = [line["name"] for line in results.lines]
    heads = ("rank", "candidate", *(f"{line['name']}{_unit_words(line['unit'])}" for line in results.lines), "CD")
    rows = []
    for ranked in results.ranked[:_IN_NOTEBOOKS]:
        words = ranked.cells["label"] or ranked.name
        rows.append((ranked.cells["rank"], words, *(number(*ranked.values[name]) for name in names), ranked.sign))
    parts = [small_table(rows, heads)]
    for best in results.top_candidates(1):
        curves = {"best, predicted": best.spectrum, "parent, predicted": best.parent, "best, engine": best.verified}
        known = {label: spectrum for label, spectrum in curves.items() if spectrum is not None}
        parts += [small_picture(list(known.values()), list(known))] if known else []
        parts.append(structure_picture(best.atoms))
    flagged = [(ranked, ranked.flags) for ranked in results.ranked[:_IN_NOTEBOOKS] if ranked.flags]
    return notebook_card(title, parts, [f"{ranked.cells['rank']}. {', '.join(flags)}" for ranked, flags in flagged])


def _unit_words(unit: str) -> str:
    return "" if unit == "1" else f" / {unit}"


_PROVENANCE = ("model", "model_sha256", "checkpoint", "members", "device", "calibrated", "knows_domain", "seed")


def facts(run: dict[str, Any]) -> Markup:
    """The counts of a run in boxes."""
    counts, numbers = run["counts"], {}
    numbers["candidates"] = f"{counts['evaluated']:,}"
    numbers["valid"] = f"{counts['valid']:,}"
    numbers["within all constraints"] = f"{counts['feasible']:,}"
    numbers["out of domain"] = f"{counts['out_of_domain']:,}" if run["provenance"]["knows_domain"] else "not known"
    if small := counts.get("small_gap"):  # results of earlier versions do not say
        numbers[f"gap below {SMALLEST_GAP_EV:g} eV"] = f"{small:,}"
    numbers["dropped"] = f"{sum(drop['count'] for drop in counts['dropped'].values()):,}"
    if run["rate_per_s"] is not None:
        numbers["per second"] = f"{run['rate_per_s']:.3g}"
    if run["verification"] is not None:
        numbers["labelled by the engine"] = str(run["verification"]["labels"] - run["verification"]["failed"])
    boxes = (tag("div", tag("b", value), tag("span", name), class_="fact") for name, value in numbers.items())
    return tag("div", *boxes, class_="facts")


def lines_table(results: Results) -> Markup:
    """Objectives and constraints, and what value candidates are ranked by."""
    rows = [(line["name"], line["of"], _unit(line["unit"]), _goal_words(line)) for line in results.lines]
    by = results.run["ranked_by"]
    deviations = f", by {abs(by['standard_deviations']):g} standard deviations" if by["standard_deviations"] else ""
    parents = results.run["space"]["parents"]
    names = ", ".join(parents[:8]) + (f" and {len(parents) - 8} more" if len(parents) > 8 else "")
    words = f"Ranked by the {by['value']} value{deviations}." + (f" Parents: {names}." if parents else "")
    return joined([table(("measure", "of", "unit", "wanted"), rows), tag("p", words)])


def drops_table(counts: dict[str, Any]) -> Markup:
    """Why candidates were dropped or lost."""
    rows = [(drop["count"], reason, drop["example"]) for reason, drop in counts["dropped"].items()]
    rows += [(candidates, "lost with their worker", reason) for candidates, reason in counts["lost"].items()]
    cells = ((tag("td", first, class_="n"), *rest) for first, *rest in rows)
    return table((_right("candidates"), "reason", "for example"), cells)


def ranked_table(results: Results, rows: Sequence[RankedRow]) -> Markup:
    """Candidates with their values, flags and recipes."""
    several = len(results.objectives) > 1
    has_domain = any(row.cells["domain_score"] for row in rows)
    numbers = [*(["score"] if several else []), *(_head(line) for line in results.lines), "gap / eV", "charge"]
    numbers += ["domain score"] if has_domain else []
    heads = [_right("rank"), "candidate", "domain, sign, flags", *map(_right, numbers), "name"]
    return table(heads, (_row(results, row, several, has_domain) for row in rows), class_="sortable")


def _row(results: Results, ranked: RankedRow, several: bool, has_domain: bool) -> list[Markup]:
    cells = ranked.cells
    row = [_numeric(cells["rank"], cells["rank"]), tag("td", recipe_words(ranked.recipe), class_="recipe")]
    row.append(tag("td", flags(ranked), data_v="+".join(ranked.flags)))
    if several:
        row.append(_numeric(cells["score"], f"{float(cells['score']):.4g}"))
    for line in results.lines:
        value, std = ranked.values[line["name"]]
        row.append(_numeric(repr(value), number(value, std)))
    row += [_numeric(cells["gap_ev"], f"{float(cells['gap_ev']):.3f}"), _numeric(cells["charge"], cells["charge"])]
    if has_domain:
        score = cells["domain_score"]
        row.append(_numeric(score, f"{float(score):.3g}" if score else ""))
    return [*row, tag("td", ranked.name, class_="name")]


def _right(heading: str) -> Markup:
    return tag("th", heading, class_="n")


def _numeric(value: str, text: str) -> Markup:
    return tag("td", text, class_="n", data_v=value)


def hits_sentence(verification: dict[str, Any], run: dict[str, Any]) -> str:
    """How well the screen performed, in words."""
    statistics = verification["statistics"]
    score, hits = statistics["score"]["random"], statistics["hits"]
    words = [f"{len(verification['best'])} best and {len(verification['random'])} random candidates"]
    if score["spearman"] is not None:
        words.append(f"rank correlation of the score (Spearman) {score['spearman']:.2f} on the random candidates")
    words.append(hits_words(hits))
    if hits["enough"]:
        words.append(f"{100 * hits['overlap']:.0f} % of the top {hits['overlap_of']} random candidates agree")
    if verification["seconds_per_label"] is not None:
        words.append(f"{verification['seconds_per_label']:.3g} s per label")
    costs = run["verification"] or {}
    if costs.get("label_everything_s") and costs.get("screen_s"):
        times = costs["label_everything_s"] / costs["screen_s"]
        words.append(f"labelling all candidates would take the same workers {times:.3g} times as long as the screen")
    return "; ".join(words) + "."


def agreement_table(statistics: dict[str, Any], lines: Sequence[dict[str, Any]]) -> Markup:
    """Errors and rank correlations of the score and of every line."""
    units = {line["name"]: _unit(line["unit"]) for line in lines}
    rows = []
    for name, parts in ({"score": statistics["score"]} | statistics["lines"]).items():
        for part in ("random", "best"):
            numbers = (parts[part].get(key) for key in ("spearman", "mean_absolute_error", "mean_error", "same_sign"))
            cells = (tag("td", "" if value is None else f"{value:.3g}", class_="n") for value in numbers)
            rows.append([name, units.get(name, ""), part, tag("td", parts[part]["count"], class_="n"), *cells])
    names = ("count", "Spearman", "mean absolute error", "mean error", "share with the right sign")
    heads = ("number", "unit", "candidates", *map(_right, names))
    return table(heads, rows)


def trends_table(results: Results, most: int) -> Markup:
    """How linear each trend is, by prediction and by label; the first ``most`` trends."""
    rows = []
    units = {line["name"]: _unit(line["unit"]) for line in results.lines}
    for trend in results.trends[:most]:
        unit = f"{units.get(trend.line) or '1'} / {trend.series.unit or 'ligand'}"
        cells = [trend.series.parent, trend.series.words, trend.series.coordinate, trend.line, unit]
        for part, count in ((trend.predicted, trend.count), (trend.verified, trend.labels)):
            slope, share = (f"{part.slope:.3g}", f"{part.share:.2f}") if part is not None else ("", "")
            cells += [tag("td", value, class_="n") for value in (int(count.sum()), slope, share)]
        rows.append(cells)
    numbers = ("candidates", "slope", "linear share", "labels", "slope of labels", "linear share of labels")
    return table(("parent", "exchange", "against", "measure", "unit of slopes", *map(_right, numbers)), rows)


def provenance(run: dict[str, Any]) -> Markup:
    """Where the numbers come from: model, versions, machine, sessions, and the whole configuration."""
    origin = run["provenance"]
    rows: dict[str, Any] = {key: origin[key] for key in _PROVENANCE if key in origin}
    rows |= {f"version of {name}": value for name, value in origin["versions"].items()}
    rows["machine"] = ", ".join(f"{key} {value}" for key, value in origin["machine"].items())
    rows["sessions"] = "; ".join(f"{s['begun']}: {s['candidates']} in {s['seconds']:.3g} s" for s in run["sessions"])
    rows["seconds"] = ", ".join(f"{name} {value:.3g}" for name, value in run["timings_s"].items())
    rows["peak memory"] = f"{run['peak_memory_mb']} MB"
    rows["fingerprint"] = run["fingerprint"]
    listing = tag("dl", *(part for key, value in rows.items() for part in (tag("dt", key), tag("dd", value))))
    config = tag("pre", json.dumps(run["config"], indent=1, ensure_ascii=False))
    return joined([listing, tag("details", tag("summary", "the screen's configuration"), config)])


def _head(line: dict[str, Any]) -> str:
    unit = _unit(line["unit"])
    return f"{line['name']} / {unit}" if unit else str(line["name"])


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit


def _goal_words(line: dict[str, Any]) -> str:
    if "goal" in line:
        goal = line["goal"] if isinstance(line["goal"], str) else f"close to {line['goal']:g}"
        return f"{goal} (weight {line['weight']:g}, step {line['step']:g})"
    limits = (("at least", line["at_least"]), ("at most", line["at_most"]))
    return " and ".join(f"{word} {limit:g}" for word, limit in limits if limit is not None)
