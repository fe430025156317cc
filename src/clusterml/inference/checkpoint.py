"""A checkpoint as predictions need it: its networks, and beside them what is known of their errors and domain.

    NAME/uncertainty.json     calibrations of the spread, SHA-256 of domain.safetensors and of spec.json
    NAME/domain.safetensors   features of the training data

The checksum of ``spec.json``, which holds those of the weights, ties both to the networks they were measured with.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterml.errors import InputFileError
from clusterml.inference.calibration import Uncertainty
from clusterml.inference.domain import Domain, read_domain, write_domain
from clusterml.io.files import sha256_of_file
from clusterml.io.json import read_json, write_json
from clusterml.model import upgrade
from clusterml.run.resources import keep_freed_memory
from clusterml.training.catalogue import SPEC, ReleaseError
from clusterml.training.release import open_release

if TYPE_CHECKING:
    from clusterml.inference.ensemble import Ensemble


UNCERTAINTY, DOMAIN = "uncertainty.json", "domain.safetensors"


def load_ensemble(folder: Path, device: str) -> Ensemble:
    """The networks of the checkpoint in ``folder``; raises ReleaseError or OptionError, see :func:`load_predictor`."""
    from clusterml.inference.ensemble import Ensemble, choose_device
    from clusterml.model.network import Network

    keep_freed_memory()
    target = choose_device(device)
    release = open_release(folder)
    return Ensemble(Network(release.spec), release.networks, target)


def label_protocol(folder: Path) -> str | None:
    """The label protocol that the networks in ``folder`` have learnt, None where it is not stated."""
    data = read_json(folder / SPEC).get("about", {}).get("data", {})
    return data.get("method") if isinstance(data, dict) else None


def write_uncertainty(folder: Path, uncertainty: Uncertainty, domain: Domain) -> None:
    """Keep what was measured of the networks in ``folder`` beside them; raises OutputError."""
    path = write_domain(domain, folder / DOMAIN)
    content = {
        "schema_version": upgrade.UNCERTAINTY.newest,
        "spec_sha256": checksum(folder / SPEC),
        "domain_sha256": checksum(path),
        **uncertainty.to_dict(),
    }
    write_json(content, folder / UNCERTAINTY, indent=1)


def read_uncertainty(folder: Path) -> tuple[Uncertainty | None, Domain | None]:
    """What :func:`write_uncertainty` kept, or None for both where nothing was; raises ReleaseError naming the file."""
    path = folder / UNCERTAINTY
    if not path.exists():
        return None, None
    try:
        content = upgrade.UNCERTAINTY.apply(read_json(path), str(path))
        _check(content, folder)
        return Uncertainty.from_dict(content, str(path)), read_domain(folder / DOMAIN)
    except InputFileError as error:
        raise ReleaseError(error.problem, error.remedy) from error


def _check(content: dict[str, Any], folder: Path) -> None:
    if content.get("spec_sha256") != checksum(folder / SPEC):
        remedy = "measure it again with clusterml evaluate --calibrate, or remove the file"
        raise ReleaseError(f"{folder / UNCERTAINTY}: belongs to other networks", remedy)
    if content.get("domain_sha256") != checksum(folder / DOMAIN):
        raise ReleaseError(
            f"{folder / DOMAIN}: has changed since it was written (checksum)", "get the checkpoint again"
        )


def checksum(path: Path) -> str:
    """SHA-256 of a file of a checkpoint; raises :class:`ReleaseError`."""
    try:
        return sha256_of_file(path, links=False)
    except InputFileError as error:
        raise ReleaseError(error.problem, "get the checkpoint again") from error
