"""One of the best candidates on the page: its numbers, how it is made, spectra and geometry."""

from __future__ import annotations

from typing import Any

from clusterml.screening.page.figures import spectra_picture
from clusterml.screening.page.markup import Markup, joined, tag
from clusterml.screening.page.molecule import element_colours, viewer
from clusterml.screening.page.results import Ranked, Results, Shown


def card(shown: Shown, results: Results) -> Markup:
    """A frame with everything about one candidate."""
    ranked = shown.ranked
    numbers = (f"{line['name']} {number(*ranked.values[line['name']])}" for line in results.lines)
    picture = spectra_picture(shown) or tag("p", "no spectrum is in the folder", class_="soft")
    view = viewer(shown.atoms, f"molecule-{ranked.number}", {"element": element_colours(shown.atoms)})
    return tag(
        "section",
        tag("h3", f"{ranked.cells['rank']}. {ranked.name} "),
        tag("p", flags(ranked), " ", ", ".join(numbers)),
        tag("p", recipe_words(ranked.recipe), class_="soft"),
        tag("div", tag("div", picture), view, class_="pair"),
        class_="card",
    )


def flags(ranked: Ranked) -> Markup:
    """Warnings about a candidate, and whether it is on the front."""
    found = [tag("span", flag, class_="flag warn") for flag in ranked.flags]
    if ranked.cells["on_front"] == "yes":
        found.append(tag("span", "Pareto front", class_="flag"))
    return joined(found)


def number(value: float, std: float | None) -> str:
    """``1.23 ± 0.04``."""
    return f"{value:.4g}" + ("" if std is None else f" ± {std:.2g}")


def recipe_words(recipe: dict[str, Any]) -> str:
    """A recipe in words: parent, ligands exchanged, snapshot, distortions."""
    build = recipe.get("build", {})
    options = ", ".join(f"{key} {value}" for key, value in build.items() if key != "name")
    words = [str(recipe.get("parent") or recipe.get("name", "")) + (f" ({options})" if options else "")]
    words += [f"{each['count']} x {each['old']} to {each['new']}" for each in recipe.get("exchanges", [])]
    if "snapshot" in recipe:
        words.append(f"snapshot {recipe['snapshot']['draw']} at {recipe['snapshot']['temperature_k']:g} K")
    words += [f"{mode} {amount:+.4g}" for mode, amount in recipe.get("distortions", {}).items()]
    return "; ".join(words)
