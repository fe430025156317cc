"""Bond ranges of models against those of crystals."""

from __future__ import annotations

from clusterml.structure.build.contacts import measure_bond_ranges


def test_kinds_counts_and_lengths(built):
    ranges = measure_bond_ranges(built("ag12"))
    assert list(ranges) == ["Ag-Ag", "Ag-O", "Ag-S"]
    assert {kind: r.count for kind, r in ranges.items()} == {"Ag-Ag": 24, "Ag-O": 12, "Ag-S": 24}
    assert str(ranges["Ag-Ag"]) == "3.07-3.07"
    assert ranges["Ag-O"].shortest > 2.29
    assert ranges["Ag-O"].longest < 2.44


def test_ag70_is_within_the_crystal(built):
    """Ag-Ag 2.770-3.385, Ag-S 2.432-2.616, Ag-O 2.29-2.44 A."""
    for name in ("ag70", "ag70-t"):
        ranges = measure_bond_ranges(built(name))
        for kind, low, high in (("Ag-Ag", 2.770, 3.385), ("Ag-S", 2.432, 2.616), ("Ag-O", 2.29, 2.45)):
            assert low <= ranges[kind].shortest <= ranges[kind].longest <= high
