"""Can a campaign be run?  What it names is checked before anything is built."""

from __future__ import annotations

from clusterml.dataset.campaign import ANY, Campaign
from clusterml.errors import OptionError, unknown
from clusterml.structure.build.check import check_build, check_ligand
from clusterml.structure.distort.modes import MODES


def check_names(campaign: Campaign) -> None:
    """Raise :class:`OptionError` for a blueprint, ligand or mode that there is not, or a mode of no typical amount."""
    for name, parent in campaign.parents.items():
        if parent.build is not None:
            check_build(f"parent {name}", parent.build)
        for mode in parent.modes or []:
            if mode not in MODES:
                raise unknown("mode", mode, MODES)
            if MODES[mode].typical <= 0.0:
                drawn = ", ".join(each.name for each in MODES.values() if each.typical > 0.0)
                raise OptionError(f"parent {name}: {mode} is not drawn in campaigns", f"choose from {drawn}")
    lists = [parent.exchanges for parent in campaign.parents.values()]
    lists += [group.exchanges for group in campaign.hypothetical.values()]
    for exchange in (exchange for exchanges in lists for exchange in exchanges):
        if exchange.new != ANY:
            check_ligand(exchange.new)
