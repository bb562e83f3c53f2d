"""`labram bench`: how fast models, training loop and loading are on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from labram.models.bench import Load, Measurement
    from labram.training.bench import Loading, Overhead
    from labram.training.throughput import Throughput

app = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True)
_STEPS = ["tokenizer", "masked", "masked-stored", "finetune", "inference"]
_PRECISIONS, _MODES = ["fp32", "bf16"], ["eager", "compiled"]
RESULTS = Path("benchmarks/results")
PUBLISHED = ("base", "large", "huge")


@app.callback()
def _group() -> None:
    """Measure speed on this machine."""


@app.command()
def model(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    step: Annotated[list[str], typer.Option(help=f"One of {', '.join(_STEPS)}; repeatable.")] = _STEPS,
    precision: Annotated[list[str], typer.Option(help="fp32 or bf16; repeatable.")] = _PRECISIONS,
    mode: Annotated[list[str], typer.Option(help="eager or compiled; repeatable.")] = _MODES,
    batch: Annotated[int, typer.Option(min=1, help="Windows.")] = 16,
    channels: Annotated[int, typer.Option(min=1, max=128, help="Channels of a window.")] = 32,
    seconds: Annotated[int, typer.Option(min=1, max=16, help="Seconds of a window.")] = 8,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each; the median counts.")] = 5,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
) -> None:
    """Patches per second of LaBraM-Base in each of its uses, beside braindecode's Labram where it is installed.

    A step is the forward pass, the backward pass and the optimiser; inference is the forward pass alone; the masked
    step includes the tokenizer's encoding. Compiled means each transformer block. Figures mean something on an
    otherwise idle machine only.
    """
    from labram.models.bench import Load, bench

    load = Load(batch, channels, seconds, device)
    measured: list[Measurement] = []
    for measurement in bench(
        steps=_chosen(step, _STEPS, "--step"),
        precisions=_chosen(precision, _PRECISIONS, "--precision"),
        modes=_chosen(mode, _MODES, "--mode"),
        load=load,
        repeats=repeats,
    ):
        measured.append(measurement)
        if not json:
            typer.echo(_line(measurement), err=True)
    if json:
        _print_json(measured, load)
    else:
        _print_table(measured)


RecipeOption = Annotated[str, typer.Option("--recipe", "-r", help="Its architecture and pre-training are measured.")]
OverrideOption = Annotated[
    list[str] | None, typer.Option("--set", "-s", help="Change a setting: pretraining.patches=512; repeatable.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
SMALL = ("pretraining.patches=1024", "pretraining.micro_batches=2", "pretraining.checkpoint_every=10")
"""Steps of seconds rather than minutes on a CPU; loop and loading cost the more the smaller the step."""


@app.command("step")
def step_(
    recipe: RecipeOption = "base",
    override: OverrideOption = None,
    steps: Annotated[int, typer.Option(min=2, help="Steps that are timed.")] = 21,
    json: JsonOption = False,
) -> None:
    """What the training loop costs beside the bare step: loading, logs, checkpoints. The goal is less than 5 %.

    Pre-training on noise; after each step of the loop the same step is taken bare. Steps have 2 micro-batches of 1024
    patches, and every tenth writes a checkpoint, unless --set says otherwise. LABRAM_COMPILE=1 compiles both.
    """
    from labram import recipe as recipes
    from labram.training.bench import loop_overhead

    _print(loop_overhead(recipes.load(recipe, [*SMALL, *(override or [])]), steps), json=json)


@app.command()
def data(
    recipe: RecipeOption = "base",
    override: OverrideOption = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps that are timed.")] = 5,
    json: JsonOption = False,
) -> None:
    """How many times as fast as the step uses them windows are loaded, by one process. The goal is 20 on a CPU."""
    from labram import recipe as recipes
    from labram.training.bench import loading

    _print(loading(recipes.load(recipe, [*SMALL, *(override or [])]), steps), json=json)


@app.command()
def throughput(
    recipe: RecipeOption = "base",
    override: OverrideOption = None,
    step: Annotated[list[str], typer.Option(help=f"One of {', '.join(_STEPS)}; repeatable.")] = _STEPS,
    mode: Annotated[list[str], typer.Option(help="eager or compiled; repeatable.")] = _MODES,
    batch: Annotated[int, typer.Option(min=1, help="Windows of 32 channels × 8 s.")] = 16,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each; the median counts.")] = 5,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result, a JSON file.")] = RESULTS,
) -> None:
    """What this machine makes of a recipe's models: rates, utilisation, and what takes how long in a training step.

    On a GPU where there is one, in bf16; else on the CPU, in both precisions. Utilisation is the share of the data
    sheet's peak, or of what large matrix products alone reach. Steps of pre-training have 2 micro-batches of 1024
    patches unless --set says otherwise. The result is kept with date, hardware and commit.
    """
    from labram import recipe as recipes
    from labram.models.bench import Load
    from labram.tracking import lineage
    from labram.training import device
    from labram.training.throughput import measure

    place = device.choose().type
    result = measure(
        recipes.load(recipe, [*SMALL, *(override or [])]),
        commit=lineage.commit() + "+" * lineage.dirty(),
        steps=_chosen(step, _STEPS, "--step"),
        precisions=("bf16",) if place == "cuda" else ("fp32", "bf16"),
        modes=_chosen(mode, _MODES, "--mode"),
        load=Load(batch=batch, device=place),
        repeats=repeats,
        tell=lambda rate: typer.echo(f"{rate.step} {rate.precision} {rate.mode}: {rate.patches_per_s:.0f} patches/s"),
    )
    _print_throughput(result)
    typer.echo(f"kept in {result.write(out)}")


@app.command()
def hours(
    results: Annotated[
        list[Path] | None, typer.Argument(help=f"What `bench throughput` wrote. Default: all of {RESULTS}.")
    ] = None,
) -> None:
    """How long the published trainings on 2,500 hours would take on the machines that were measured, as Markdown."""
    from labram import recipe as recipes
    from labram.training.projection import project, table
    from labram.training.throughput import Throughput

    found = [Throughput.read(path) for path in results or sorted(RESULTS.glob("*.json"))]
    names = dict.fromkeys([*PUBLISHED, *(result.recipe for result in found)])
    measured = {name: [result for result in found if result.recipe == name] for name in names}
    typer.echo(table(row for name in names for row in project(recipes.load(name), measured[name])))


def _print_throughput(result: "Throughput") -> None:
    from rich.console import Console
    from rich.table import Table

    rates = Table("step", "patches/s", "tokens/s", "signal GB/s", "TFLOP/s", "utilisation")
    for rate in result.rates:
        speeds = f"{rate.patches_per_s:,.0f}", f"{rate.tokens_per_s:,.0f}", f"{rate.signal_gb_per_s:.3g}"
        name = f"{rate.step} {rate.precision} {rate.mode}"
        rates.add_row(name, *speeds, f"{rate.tflop_per_s:.3g}", f"{rate.utilisation:.1%}")
    parts = Table("part of a pre-training step", "seconds", "share")
    whole = sum(result.parts.values())
    for name, seconds in result.parts.items():
        parts.add_row(name, f"{seconds:.4g}", f"{seconds / whole:.1%}")
    console = Console()
    console.print(rates)
    console.print(parts)


def _print(figures: "Overhead | Loading", *, json: bool) -> None:
    import json as text
    from dataclasses import asdict

    found = asdict(figures)
    if json:
        typer.echo(text.dumps(found | {"machine": _machine()}))
        return
    for name, value in found.items():
        typer.echo(f"{name:24} {value:.6g}")


def _machine() -> dict[str, object]:
    import platform

    import torch

    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "processor": platform.machine()}


def _chosen(given: list[str], known: list[str], option: str) -> tuple[Any, ...]:
    unknown = [name for name in given if name not in known]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is not one of {', '.join(known)}", param_hint=option)
    return tuple(name for name in known if name in given)


def _line(one: "Measurement") -> str:
    return f"{one.implementation} {one.step} {one.precision} {one.mode}: {one.patches_per_second:.0f} patches/s"


def _print_json(measured: "list[Measurement]", load: "Load") -> None:
    import json
    from dataclasses import asdict

    from labram.models.bench import ratios

    found = {
        "load": asdict(load),
        "machine": _machine(),
        "measurements": [one.to_json() for one in measured],
        "times_braindecode": [
            {"step": step, "precision": precision, "mode": mode, "ratio": ratio}
            for (step, precision, mode), ratio in ratios(measured).items()
        ],
    }
    typer.echo(json.dumps(found, indent=2))


def _print_table(measured: "list[Measurement]") -> None:
    from rich.console import Console
    from rich.table import Table

    from labram.models.bench import ratios

    times = ratios(measured)
    table = Table("step", "precision", "mode", "patches/s", "times braindecode")
    for one in measured:
        if one.implementation == "labram":
            ratio = times.get((one.step, one.precision, one.mode))
            figures = f"{one.patches_per_second:.0f}", f"{ratio:.2f}" if ratio else "–"
            table.add_row(one.step, one.precision, one.mode, *figures)
    Console().print(table)
