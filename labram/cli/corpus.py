"""`labram corpus`: simulate, fetch, ingest, inspect and version corpora."""

from pathlib import Path
from typing import Annotated

import typer

from labram.cli import datasets, find, ingest, quality, versions

app = typer.Typer(help="Simulate, fetch, ingest, inspect and version corpora of recordings.", no_args_is_help=True)
for command in (
    datasets.datasets,
    datasets.fetch,
    datasets.import_labram,
    ingest.ingest,
    ingest.status,
    quality.quality,
    find.find,
    versions.add,
    versions.version,
    versions.diff,
    versions.pull,
):
    app.command()(command)


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Output folder; must be empty or absent.")] = Path("data"),
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Write the simulated corpus, byte-identical on every machine.

    It has three datasets with different montages, sampling rates, units and file formats, labelled for the four tasks
    of the LaBraM paper. It shows that the pipeline works; scores on it are not results.

    Exit codes: 0 done; 1 error.
    """
    from labram.cli.progress import Bar
    from labram.simulation.simulate import simulate as write

    with Bar(f"simulating {out}") as bar:
        write(out, seed=seed, monitor=bar)
