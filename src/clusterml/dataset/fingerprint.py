"""What the records of a campaign follow from, as hashes: jobs and parents may be added, nothing else may change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clusterml.dataset.campaign import Campaign, source_of
from clusterml.dataset.record import FINE
from clusterml.engine.protocol import RESULTS
from clusterml.io.files import LARGEST_INPUT, read_text, sha256, sha256_of_file
from clusterml.io.shipped import locate
from clusterml.structure.anatomy.library import load_library
from clusterml.structure.build.blueprint import packages_used
from clusterml.structure.build.dopants import DOPANTS

LIBRARY = "the library"
"""The ligand file's name in a fingerprint; no parent can have it."""
SPECTRA = "the engine's spectra"
"""The same of the number :data:`~clusterml.engine.protocol.RESULTS`."""
UNSAID_RESULTS = 3
"""That number of campaigns, and of labels of screens, which do not say it."""
_LATER: dict[str, Any] = {
    "protocol": None,
    "distorted_ensembles": False,
    "undistorted": 0.0,
    "forms": [],
    "turns": 1,
    "hypothetical": None,
    "dopants": 0.0,
    "dopant_elements": list(DOPANTS),
}
"""Options of parents that older campaigns did not have, with what these did."""
_LATER_AMOUNTS = {"frame_percent": [-4.0, 4.0]}
"""The same of amounts ..."""
_LATER_SHARED: dict[str, Any] = {"spectra": FINE.model_dump(mode="json"), "second": None}
"""... and of what all parents share."""
_FORMER = {"second_protocol": None, "second_every": 10}
"""Keys that there were, with what is done now."""


def fingerprint(campaign: Campaign, campaign_file: Path) -> dict[str, str]:
    """Hashes of all that determines the records: of each parent by its name, with its files and the packages that its
    blueprint and ligands are from, of hypothetical clusters (``hypothetical NAME``), of the ligand file (by
    :data:`LIBRARY`), of what spectra the engine gives (by :data:`SPECTRA`), and of the rest (``""``).

    A campaign may get more jobs and parents later and store more of its snapshots, but may not change otherwise.
    Raises InputFileError for a missing file.
    """
    content = campaign.model_dump(mode="json", exclude={"title": True, "amounts": {"snapshots_kept"}})
    content["amounts"] = _without(content["amounts"], _LATER_AMOUNTS)
    library = load_library(library_file(campaign, campaign_file))
    shared = {key: value for key, value in content.items() if key not in ("parents", "hypothetical", "library")}
    parts = {"": _without(shared, _LATER_SHARED) | _FORMER}
    for name, group in campaign.hypothetical.items():
        parts[f"hypothetical {name}"] = group.model_dump(mode="json", exclude={"counts", "cores"})
    for name, parent in campaign.parents.items():
        source = source_of(campaign_file, parent)
        options = parent.model_dump(mode="json", exclude={"counts"})
        parts[name] = _without(options, _LATER)
        exchanged = [ligand for exchange in parent.exchanges for ligand in (exchange.old, exchange.new)]
        if packages := packages_used(parent.build, exchanged, library):
            parts[name]["packages"] = packages
        if source is not None:
            parts[name]["file"] = sha256_of_file(source, LARGEST_INPUT)
    text = library_text(campaign, campaign_file)
    if text is not None:
        parts[LIBRARY] = {"library": text}
    if RESULTS != UNSAID_RESULTS:
        parts[SPECTRA] = {"results": RESULTS}
    return {name: sha256(json.dumps(part, sort_keys=True)) for name, part in parts.items()}


def library_file(campaign: Campaign, campaign_file: Path) -> Path | None:
    """The campaign's ligand file, found beside the campaign file; None without."""
    return None if campaign.library is None else locate(campaign.library, campaign_file.parent)


def library_text(campaign: Campaign, campaign_file: Path) -> str | None:
    """What is in the campaign's ligand file; raises :class:`~clusterml.errors.InputFileError`."""
    path = library_file(campaign, campaign_file)
    return None if path is None else read_text(path)


def _without(values: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """``values`` without the ``later`` options that say what was done before there were any."""
    return {key: value for key, value in values.items() if key not in later or value != later[key]}
