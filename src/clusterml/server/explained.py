"""Which atoms a CD comes from, by the engine: made in a process, where it takes no longer than the server gives."""

from __future__ import annotations

from contextlib import chdir
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from clusterml.errors import OptionError, duration
from clusterml.io.files import write_text
from clusterml.io.shipped import QUICK_MODEL
from clusterml.run.resources import choose_threads
from clusterml.server.answers import check_size
from clusterml.server.requests import ChargedRequest, ExplainRequest, MethodRequest
from clusterml.server.settings import Limits

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.protocol import Compute, Protocol

_OF_METHOD = MethodRequest.model_fields.keys() - ChargedRequest.model_fields.keys()
"""Keys of the engine."""


def band_of(request: ExplainRequest) -> tuple[float, float]:
    """The band of a request in eV; raises :class:`OptionError`."""
    from clusterml.screening.quantities import parse_band

    try:
        return parse_band(request.band, "eV")
    except ValueError as error:
        raise OptionError(f"band is {request.band!r}: {error}", "give one such as 2.5..3.2 or 400..600 nm") from error


def refuse_method(request: ExplainRequest) -> None:
    """Raise :class:`OptionError` for keys of the engine, where a network shares its CD out."""
    if vain := sorted(request.model_fields_set & _OF_METHOD):
        raise OptionError(f"with model {' and '.join(vain)} would change nothing", "leave it out")


def explain(request: ExplainRequest, limits: Limits) -> dict[str, Any]:
    """What ``clusterml explain --json`` says by the engine.

    Raises :class:`OptionError` where that is expected to take longer than the server gives, before it begins.
    """
    from clusterml.engine.contributions import label_contributions
    from clusterml.engine.label import label, with_own_orbitals
    from clusterml.engine.protocol import Compute
    from clusterml.structure.read import read

    band, protocol, source = band_of(request), request.protocol(), request.source()
    compute = Compute("cpu", choose_threads(None))
    # a file in the folder that it works in: orbitals of a Molden file are read from it, by its name
    with TemporaryDirectory() as folder, chdir(folder):
        atoms = read(write_text(source.name, source.text), options=request.reading)
        check_size(atoms, limits)
        protocol = with_own_orbitals(atoms, protocol, named=request.orbitals is not None or request.mode != "smooth")
        check_time(atoms, protocol, compute, limits)
        result = label(atoms, request.charge, protocol, compute, groups={}, allow_several=request.allow_several)
    return label_contributions(result, *band).to_dict()


def check_time(atoms: Atoms, protocol: Protocol, compute: Compute, limits: Limits) -> None:
    """Raise :class:`OptionError` where the engine is expected to take longer than the server gives."""
    seconds = expected_seconds(atoms, protocol, compute)
    if seconds > limits.seconds:
        problem = f"the engine would take about {duration(seconds)}, and this server gives {duration(limits.seconds)}"
        remedy = f"set model to {QUICK_MODEL}, use the command line, or a server started with a larger --seconds"
        raise OptionError(problem, remedy)


def expected_seconds(atoms: Atoms, protocol: Protocol, compute: Compute) -> float:
    """Time of a label and its shares on this computer, as busy as it is; 0 where nothing is known of it."""
    from clusterml.engine.cost import busyness, label_cost, shares_seconds
    from clusterml.engine.label import ground_state_cost
    from clusterml.engine.orbitals.source import find_source

    threads = compute.threads or 1
    if find_source(protocol).check_memory:
        return busyness(threads) * (label_cost(atoms, threads).seconds + shares_seconds(atoms))
    cost = ground_state_cost(atoms, protocol, compute)
    return 0.0 if cost is None else busyness(threads) * cost.seconds
