"""`labram corpus`: simulate, look at and check corpora."""

from pathlib import Path
from typing import Annotated

import typer

from labram.cli import datasets, ingest, quality, versions

app = typer.Typer(help="Make, take in, inspect and version corpora of recordings.", no_args_is_help=True)
for command in (
    datasets.datasets,
    datasets.fetch,
    ingest.ingest,
    ingest.status,
    quality.quality,
    versions.add,
    versions.version,
    versions.diff,
    versions.pull,
):
    app.command()(command)


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to write; it must not hold anything else.")] = Path("data"),
    seed: Annotated[int, typer.Option(help="Another seed is another corpus.")] = 0,
) -> None:
    """Write the simulated corpus: the same bytes on every machine.

    Twelve subjects and more in three datasets with different montages, rates, units and file formats, labelled for the
    paper's four tasks. It shows that the machine works; it never stands in for a result.
    """
    from labram.cli.progress import Bar
    from labram.simulation.simulate import simulate as write

    with Bar(f"simulating {out}") as bar:
        write(out, seed=seed, monitor=bar)
