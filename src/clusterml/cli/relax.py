"""``clusterml relax FILE``: GFN-xTB relaxation that can be interrupted and taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from clusterml.cli.options import Charge, LibraryFile, StructureFile, Threads, with_groups
from clusterml.run.resources import choose_threads, use_threads
from clusterml.structure.options import ReadOptions
from clusterml.structure.solvents import GfnMethod, SolventModel


@with_groups
def relax(
    file: StructureFile,
    charge: Charge = None,
    method: Annotated[GfnMethod, typer.Option(help="GFN1-xTB or GFN2-xTB.")] = "gfn1",
    solvent: Annotated[str | None, typer.Option(help="Implicit solvent, e.g. methanol [default: vacuum].")] = None,
    solvation: Annotated[SolventModel, typer.Option(help="Solvent model.")] = "alpb",
    fix: Annotated[
        Literal["none", "metals", "frame"], typer.Option(help="What stays: nothing, metals, metals and donors.")
    ] = "none",
    symmetry: Annotated[bool, typer.Option("--symmetry", help="Keep the point group the structure has.")] = False,
    steps: Annotated[int, typer.Option(min=0, help="At most so many steps, those of earlier runs included.")] = 500,
    fmax: Annotated[float, typer.Option(metavar="EV_A", help="Done when the largest force is below this.")] = 0.05,
    temperature: Annotated[float, typer.Option(metavar="K", help="Electronic temperature.")] = 300.0,
    threads: Threads = None,
    *,
    reading: ReadOptions,
    library: LibraryFile = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Result [default: NAME_relaxed.xyz].")
    ] = None,
) -> None:
    """Relax a structure with GFN1-xTB or GFN2-xTB.

    After every step the state is kept in OUTPUT.checkpoint.json: the same command goes on where it was interrupted. The
    result is written when the forces are small enough or the steps are used up (then a warning says so, and the same
    command with more --steps goes on).
    """
    use_threads(choose_threads(threads))  # before anything imports numpy

    from clusterml.cli.progress import reporter
    from clusterml.engine.charge import frontier_gaps
    from clusterml.engine.relax import RelaxSettings, RelaxStep
    from clusterml.engine.relax import relax as relaxed
    from clusterml.run.progress import State
    from clusterml.structure.read import read
    from clusterml.structure.write import check_name, write_extxyz

    target = check_name(output if output is not None else Path(f"{file.stem}_relaxed.xyz"))
    settings = RelaxSettings(method, solvent, solvation, fix, symmetry, steps, fmax, temperature)
    atoms = read(file, options=reading)
    state_file = Path(f"{target}.checkpoint.json")
    kept = f"the last step is in {state_file}; the same command goes on from it"
    with reporter(Path(f"{target}.log"), kept=kept) as shown:

        def show(step: RelaxStep) -> None:
            words = f"energy {step.energy_ev:.6f} eV, fmax {step.fmax:.4f} eV/A"
            shown.show(State("relax step", step.number, words=words), after=0.0)

        done = relaxed(atoms, charge, settings, checkpoint=state_file, progress=show, gaps=frontier_gaps)
    write_extxyz(done.atoms, target)
    known = len(atoms.info["provenance"]["warnings"])
    for warning in done.atoms.info["provenance"]["warnings"][known:]:
        typer.echo(f"warning: {warning}", err=True)
    state = "converged" if done.converged else "not converged"
    taken_up = f" (taken up at step {done.resumed_at})" if done.resumed_at else ""
    typer.echo(f"{settings.level}: {state} after {done.step.number} steps{taken_up}, {done.step.energy_ev:.6f} eV, "
               f"forces up to {done.step.fmax:.4f} eV/A; written to {target}")  # fmt: skip
