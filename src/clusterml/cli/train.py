"""``clusterml train CONFIG [key=value ..]``: train a network on a labelled dataset."""

from __future__ import annotations

import math
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.errors import counted
from clusterml.run.resources import choose_threads, use_threads

if TYPE_CHECKING:
    from clusterml.cli.progress import Display
    from clusterml.training.loop import Progress


def train(
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG", help="YAML file, see clusterml init train.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE ..]", help="Other values, e.g. optimizer.lr=0.001.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder of the run; default results/NAME.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was begun.")] = False,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where to compute.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads of each process.")] = None,
    members: Annotated[
        bool, typer.Option("--members", help="Fine-tune every member of init_from, and join them in DIR/release.")
    ] = False,
    keys: Annotated[bool, typer.Option("--keys", help="Print every key of CONFIG with its default, and exit.")] = False,
) -> None:
    """Train a network; it can be stopped at any time and goes on with --resume.

    Several processes: torchrun --no-python --nproc-per-node 2 clusterml train CONFIG. The best weights end up in
    DIR/release, which predict takes with --model.
    """
    if keys:
        from clusterml.cli.console import print_keys
        from clusterml.config.schema import keys as every_key
        from clusterml.training.config import Config, network_keys

        print_keys([*every_key(Config), *network_keys()])
        return
    if config is None:
        raise typer.BadParameter("give a CONFIG; clusterml init train writes one")
    use_threads(choose_threads(threads))

    from clusterml.cli.progress import LOG_NAME, reporter
    from clusterml.training.config import load_config
    from clusterml.training.run import train as run
    from clusterml.training.run import train_members

    settings = load_config(config, overrides or [])
    folder = output or Path("results") / settings.name
    kept = f"the last checkpoint is in {folder}; go on with the same command and --resume"
    with reporter(folder / LOG_NAME, kept=kept, quiet=not _is_first()) as shown:
        watch = partial(_shown, shown)
        if members:
            release, runs = train_members(settings, folder, resume=resume, device=device, watch=watch)
        else:
            runs = [run(settings, folder, resume=resume, device=device, watch=watch)]
    if not _is_first():
        return
    for done in runs:
        own = done.release.parent
        skipped = f"; {done.skipped} batches skipped, see {own}/skipped.jsonl" if done.skipped else ""
        how_long = f"{counted(done.epochs, 'epoch')}, best {done.row['epoch']}"
        typer.echo(f"{done.release}: {how_long}: {_quality(done.row)}{skipped}")
    if members:
        typer.echo(f"{release}: {counted(len(runs), 'member')}")


def _is_first() -> bool:
    """Is this the only process, or the first of those that torchrun started?  The others print nothing."""
    return os.environ.get("RANK", "0") == "0"


def _shown(shown: Display, progress: Progress) -> None:
    """Show how far a run is; a message gets a line of its own."""
    from clusterml.run.progress import State

    if progress.message:
        shown.say(progress.message)
    done = (progress.epoch - 1) * progress.batches + progress.batch
    total = progress.epochs * progress.batches
    shown.show(State("batches", done, total, _words(progress)))


def _words(progress: Progress) -> str:
    loss = f"loss {progress.loss:.4f}" if math.isfinite(progress.loss) else "no loss yet"
    last = f"; {_quality(progress.last)}" if progress.last else ""
    place = f"epoch {progress.epoch}/{progress.epochs}, batch {progress.batch}/{progress.batches}"
    return f"{place}: {loss}{last}"


def _quality(row: dict[str, float | None]) -> str:
    names = {"validation_loss": "validation", "absorption_cosine": "absorption cosine", "cd_cosine": "CD cosine"}
    names["cd_r2"] = "CD R2"
    return ", ".join(f"{words} {row[key]:.3f}" for key, words in names.items() if row.get(key) is not None)
