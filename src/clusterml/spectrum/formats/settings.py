"""What the user says about a spectrum file in addition to the file itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clusterml.errors import OptionError
from clusterml.spectrum.formats.headers import AXES, QUANTITIES, UNSTATED, Meaning, companion, meaning

UNITS = {
    "mdeg": "mdeg",
    "molar-ellipticity": "molar_ellipticity",
    "delta_epsilon": "delta_epsilon",
    "delta_absorbance": "delta_absorbance",
    "absorbance": "absorbance",
    "epsilon": "epsilon",
    "log_epsilon": "log_epsilon",
}
"""Units that ``--unit`` takes -> quantity."""
SKIPPED = ("", "_", "-", "skip")
"""How ``--columns`` passes over a column."""


@dataclass(frozen=True)
class ReadSettings:
    """How a spectrum file is read.

    ``concentration`` mol/L and ``path_cm`` cm turn absorbance and ellipticity into molar quantities.  ``columns``: what
    the columns of a table are, in order, with commas ("wavelength,cd,skip").  ``unit``: of CD, of absorption, or of
    both with a comma, where the file does not say or says it wrongly.  ``block``: which of several spectra, numbers
    from 1 or a title.  ``suffix`` completes the names of the options in messages ("-a").

    Raises :class:`OptionError` naming the option for values that cannot be used.
    """

    concentration: float | None = None
    path_cm: float | None = None
    columns: str | None = None
    unit: str | None = None
    block: str | None = None
    suffix: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be used."""
        for option, value in self._molar_options():
            if value is not None and not (math.isfinite(value) and 1e-15 < value < 1e6):
                raise OptionError(f"{option} is {value}", "give a positive number (mol/L for the concentration, cm)")
        self.units()
        self.named_columns()

    def option(self, name: str) -> str:
        """The name of an option as the user types it."""
        return f"--{name}{self.suffix}"

    def given(self, *names: str) -> list[str]:
        """Which of the options are set, as the user types them."""
        values = {"concentration": self.concentration, "path": self.path_cm, "columns": self.columns}
        values |= {"unit": self.unit, "block": self.block}
        return [self.option(name) for name in names if values[name] is not None]

    def units(self) -> dict[str, str]:
        """``cd`` and ``absorption`` -> the quantity that ``unit`` names for it."""
        units: dict[str, str] = {}
        for word in (self.unit or "").split(",") if self.unit is not None else ():
            quantity = UNITS.get(word.strip().lower().replace("δ", "delta_"))
            kind = next((kind for kind, quantities in UNSTATED.items() if quantity in quantities), None)
            if quantity is None or kind is None or kind in units:
                raise OptionError(
                    f"{self.option('unit')} is '{self.unit}'",
                    f"give one of {', '.join(UNITS)}, or one for CD and one for absorption with a comma",
                )
            units[kind] = quantity
        return units

    def named_columns(self) -> list[Meaning | None]:
        """What each column is that ``columns`` names (None: skipped), ``cd`` and ``absorption`` resolved."""
        if self.columns is None:
            return []
        names = [self._column(word.strip()) for word in self.columns.split(",")]
        kinds = [name.quantity for name in names if name is not None]
        axes = [name for name in kinds if name in AXES]
        if len(axes) != 1 or len(kinds) < 2 or len(set(kinds)) < len(kinds):
            raise OptionError(
                f"{self.option('columns')} is '{self.columns}'",
                "name one axis and at least one quantity, each once, e.g. wavelength,cd or wavelength,skip,absorbance",
            )
        return names

    def per_molar(self, source: str, kind: str) -> float:
        """1 / (c l) in L mol-1 cm-1; raises :class:`OptionError` naming the option that is missing."""
        missing = [option for option, value in self._molar_options() if value is None]
        if missing or self.concentration is None or self.path_cm is None:
            raise OptionError(
                f"{source} gives {kind}, which needs the concentration (mol/L) and the path (cm)",
                f"give {' and '.join(missing)}",
            )
        return 1.0 / (self.concentration * self.path_cm)

    def _column(self, word: str) -> Meaning | None:
        if word.lower() in SKIPPED:
            return None
        column = meaning(word) or meaning(UNITS.get(word.lower(), ""))
        if column and column.quantity in UNSTATED:
            unit = self.units().get(column.quantity)
            if unit is None:
                raise OptionError(
                    f"{self.option('columns')} names {word} without a unit",
                    f"give {self.option('unit')}: {unit_names(column.quantity)}",
                )
            return Meaning(unit)
        if column is None or (companion(column.quantity) or column.quantity) not in (*AXES, *QUANTITIES):
            raise OptionError(
                f"{self.option('columns')}: '{word[:30]}' is not known",
                "give wavelength, energy or wavenumber; cd or absorption (with a unit) or a unit such as mdeg; or skip",
            )
        return column

    def _molar_options(self) -> tuple[tuple[str, float | None], tuple[str, float | None]]:
        return (self.option("concentration"), self.concentration), (self.option("path"), self.path_cm)


def unit_names(kind: str) -> str:
    """What ``--unit`` may be for ``cd`` or ``absorption``, for a message."""
    *names, last = (name for name, quantity in UNITS.items() if quantity in UNSTATED[kind])
    return f"{', '.join(names)} or {last}"
