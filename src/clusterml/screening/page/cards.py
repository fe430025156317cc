"""One of the best candidates on the page: its numbers, how it is made, spectra and geometry."""

from __future__ import annotations

from clusterml.screening.page.figures import spectra_picture
from clusterml.screening.page.markup import Markup, joined, tag
from clusterml.screening.page.molecule import element_colours, viewer
from clusterml.screening.page.results import Ranked, Results, Shown
from clusterml.screening.words import recipe_words


def card(shown: Shown, results: Results) -> Markup:
    """A frame with everything about one candidate."""
    ranked = shown.ranked
    numbers = (f"{line['name']} {number(*ranked.values[line['name']])}" for line in results.lines)
    picture = spectra_picture(shown) or tag("p", "no spectrum is in the folder", class_="soft")
    view = viewer(shown.atoms, f"molecule-{ranked.number}", {"element": element_colours(shown.atoms)})
    return tag(
        "section",
        tag("h3", f"{ranked.cells['rank']}. {recipe_words(ranked.recipe)}"),
        tag("p", flags(ranked), " ", ", ".join(numbers)),
        tag("p", ranked.name, class_="soft"),
        tag("div", tag("div", picture), view, class_="pair"),
        class_="card",
    )


def flags(ranked: Ranked) -> Markup:
    """Warnings about a candidate, how sure the sign of its CD is, and whether it is on the front."""
    found = [tag("span", "in domain", class_="flag")] if ranked.cells["in_domain"] == "yes" else []
    found += [tag("span", flag, class_="flag warn") for flag in ranked.flags]
    if ranked.sign:
        found.append(tag("span", ranked.sign, class_="flag" if ranked.is_sure else "flag warn"))
    if ranked.cells["on_front"] == "yes":
        found.append(tag("span", "Pareto front", class_="flag"))
    return joined(found)


def number(value: float, std: float | None) -> str:
    """``1.23 ± 0.04``."""
    return f"{value:.4g}" + ("" if std is None else f" ± {std:.2g}")
