"""``predict``: the spectrum of one structure by the network, or by the physics engine where the network is not sure."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from clusterml.errors import OutsideNetworkError
from clusterml.inference.engine import DEFAULT_MINUTES, Engine, EngineOptions, EngineUse
from clusterml.shipped import DEFAULT_MODEL
from clusterml.structure.options import DEFAULT_READING, ReadOptions

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.answer import Answer
    from clusterml.inference.predictor import Predictor
    from clusterml.inference.thermal import Thermal
    from clusterml.stda.structures import Watch


def predict(
    what: Atoms | str | Path,
    charge: int | None = None,
    *,
    engine: EngineUse = "auto",
    engine_minutes: float = DEFAULT_MINUTES,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    thermal: Thermal | None = None,
    reading: ReadOptions = DEFAULT_READING,
    watch: Watch | None = None,
) -> Answer:
    """The spectrum of a structure, or of the file of one, as ``clusterml predict`` gives it.

    ``charge``, ``thermal``: see :meth:`Predictor.prepare`.  ``engine``: ``auto``: the engine computes the spectrum
    where the structure is out of the network's domain or the network's CD is not significant; ``never``; ``always``.
    ``engine_minutes``: it is left out, with a warning, where it would take longer.  ``watch`` is told what it costs
    before it begins.  The checkpoint last used stays in memory.

    Raises what :meth:`Predictor.prepare` and reading raise, and for a structure that the network does not take in what
    :func:`clusterml.stda.label.label` raises.
    """
    from clusterml.structure.read import read

    options = EngineOptions(engine, engine_minutes, thermal, reading.allow_several)
    atoms = read(what, options=reading) if isinstance(what, str | Path) else what
    predictor = _predictor(str(model), device)
    runner = Engine(options, predictor.energy_ev, predictor.fwhm_ev, watch)
    try:
        prepared = predictor.prepare(atoms, charge, allow_several=reading.allow_several, thermal=thermal)
    except OutsideNetworkError as error:
        return runner.answer_alone(atoms, charge, error, str(atoms.info.get("name") or "structure"))
    (prediction,) = predictor.predict([prepared])
    return runner.answer(prediction, charge)


@lru_cache(maxsize=1)
def _predictor(model: str, device: str) -> Predictor:
    from clusterml.inference.predictor import Predictor

    return Predictor.load(model, device)
