"""What the shipped studies found, from the results folders of their screens: the tables and figures of docs/science/studies.md.

    clusterml screen configs/screen/ag70-twist.yaml -o results/ag70-twist --workers 2
    python scripts/study_screens.py results/ag70-twist results/ag29-shells

Prints, for each folder, counts, rates and agreement with the engine, and the trends as Markdown, and draws each line of
the screen against each coordinate as docs/images/study_FOLDER_COORDINATE_LINE.png.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from clusterml.screening.page.figures import trend_figure
from clusterml.screening.page.results import Results

IMAGES = Path(__file__).parents[1] / "docs" / "images"
HEADS = (
    "study | candidates | valid | per second | labels, best and random | rank correlation, random | hits among the best"
)
MORE = "enrichment | top ten agree | s per label | screen / s | labels of all / h | times"


def number(value, digits=2):
    """A number with so many decimals, or a dash."""
    return "-" if value is None else f"{value:,.{digits}f}"


def row(results):
    """The line of a study in the table of agreement."""
    run, found = results.run, results.verification
    hits, score, took = found["statistics"]["hits"], found["statistics"]["score"], run["verification"]
    labels = [sum(each["verified"] is not None for each in found[part]) for part in ("best", "random")]
    everything, mine = took["label_everything_s"] or float("nan"), took["screen_s"]
    cells = [
        results.folder.name,
        f"{run['counts']['evaluated']:,}",
        f"{run['counts']['valid']:,}",
        number(run["rate_per_s"], 1),
    ]
    cells += [f"{labels[0]}, {labels[1]}", number(score["random"]["spearman"]), number(hits["rate"])]
    cells += [number(hits["enrichment"], 1), number(hits["overlap"])]
    cells += [number(took["seconds_per_label"], 0), number(mine, 0)]
    return [*cells, number(everything / 3600.0, 1), number(everything / mine, 0)]


def lines(results):
    """Agreement of each line of the screen."""
    for name, parts in results.verification["statistics"]["lines"].items():
        cells = [results.folder.name, name]
        for part in ("random", "best"):
            cells += [number(parts[part][key], 4) for key in ("spearman", "mean_absolute_error", "mean_error")]
            cells += [number(parts[part].get("same_sign"))]
        yield cells


def trends(results):
    """The straight line of each trend, by prediction and by label."""
    for trend in results.trends:
        cells = [trend.series.parent, trend.series.words, trend.series.coordinate, trend.line]
        for line, count in ((trend.predicted, trend.count), (trend.verified, trend.labels)):
            slope = ["-", "-"] if line is None else [f"{line.slope:.3g}", f"{line.share:.2f}"]
            cells += [f"{count.sum():.0f}", *slope]
        yield cells


def figures(results):
    """Draw every line of the screen against every coordinate; returns the files."""
    named = {line["name"]: line for line in results.lines}
    for key in dict.fromkeys((trend.series.coordinate, trend.line) for trend in results.trends):
        here = [trend for trend in results.trends if (trend.series.coordinate, trend.line) == key]
        unit = named[key[1]]["unit"]
        figure = trend_figure(here, key[1] if unit in ("", "1") else f"{key[1]} / {unit}")
        path = IMAGES / f"study_{results.folder.name}_{'_'.join(key).replace(' ', '_')}.png"
        figure.savefig(path, dpi=110)
        yield path


def show(heads, rows):
    """Print a Markdown table."""
    names = heads.split(" | ")
    print("\n" + "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in (names, ["---"] * len(names), *rows)))


def main() -> None:
    """Print and draw everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    studies = [Results(folder) for folder in parser.parse_args().folders]
    if missing := [str(each.folder) for each in studies if each.verification is None]:
        parser.error(f"{', '.join(missing)}: not verified, set verify and verify_random")
    show(f"{HEADS} | {MORE}", [row(each) for each in studies])
    words = "rank correlation | mean absolute error | mean error | right sign"
    show(f"study | line | {words} | best: {words}", [cells for each in studies for cells in lines(each)])
    for each in studies:
        words = "candidates | slope | linear share | labels | slope of labels | linear share"
        show(f"parent | exchange | against | line | {words}", list(trends(each)))
        print(*(path.name for path in figures(each)))


if __name__ == "__main__":
    main()
