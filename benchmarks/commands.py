"""Commands of `labram bench`: throughput of models, training loop and data loading on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from benchmarks.loop_overhead import Loading, Overhead
    from benchmarks.model_throughput import Load, Measurement
    from benchmarks.training_throughput import Throughput

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
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each; the median is reported.")] = 5,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
) -> None:
    """Measure LaBraM-Base in patches per second, and braindecode's Labram if it is installed.

    A step is the forward pass, the backward pass and the optimiser; inference is the forward pass alone; the masked
    step includes the tokenizer's encoding. Compiled means that each transformer block is compiled. Measure on an idle
    machine.
    """
    from benchmarks.model_throughput import Load, measure_models

    load = Load(batch, channels, seconds, device)
    measured: list[Measurement] = []
    for measurement in measure_models(
        steps=_validated(step, _STEPS, "--step"),
        precisions=_validated(precision, _PRECISIONS, "--precision"),
        modes=_validated(mode, _MODES, "--mode"),
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


RecipeOption = Annotated[
    str, typer.Option("--recipe", "-r", help="Recipe whose architecture and pre-training are measured.")
]
OverrideOption = Annotated[
    list[str] | None, typer.Option("--set", "-s", help="Change a setting: pretraining.patches=512; repeatable.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
SMALL = ("pretraining.patches=1024", "pretraining.micro_batches=2", "pretraining.checkpoint_every=10")
"""Steps of seconds rather than minutes on a CPU; the smaller the step, the larger the overhead."""


@app.command("step")
def step_(
    recipe: RecipeOption = "base",
    override: OverrideOption = None,
    steps: Annotated[int, typer.Option(min=2, help="Steps that are timed.")] = 21,
    json: JsonOption = False,
) -> None:
    """Measure the overhead of the training loop (loading, logs, checkpoints) over the bare step. Goal: below 5 %.

    Pre-trains on noise; after each step of the loop, the same step runs bare. By default, a step has 2 micro-batches of
    1024 patches and every tenth step writes a checkpoint (see --set). LABRAM_COMPILE=1 compiles both.
    """
    from benchmarks.loop_overhead import loop_overhead
    from labram import recipe as recipes

    _print(loop_overhead(recipes.load(recipe, [*SMALL, *(override or [])]), steps), json=json)


@app.command()
def data(
    recipe: RecipeOption = "base",
    override: OverrideOption = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps that are timed.")] = 5,
    json: JsonOption = False,
) -> None:
    """Measure how many times faster one process loads windows than the step consumes them. Goal: 20 on a CPU."""
    from benchmarks.loop_overhead import loading
    from labram import recipe as recipes

    _print(loading(recipes.load(recipe, [*SMALL, *(override or [])]), steps), json=json)


@app.command()
def throughput(
    recipe: RecipeOption = "base",
    override: OverrideOption = None,
    step: Annotated[list[str], typer.Option(help=f"One of {', '.join(_STEPS)}; repeatable.")] = _STEPS,
    mode: Annotated[list[str], typer.Option(help="eager or compiled; repeatable.")] = _MODES,
    batch: Annotated[int, typer.Option(min=1, help="Windows of 32 channels × 8 s.")] = 16,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each; the median is reported.")] = 5,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result, a JSON file.")] = RESULTS,
) -> None:
    """Measure the throughput and utilisation of a recipe's models, and the parts of a training step.

    Runs on the GPU in bf16 if there is one, else on the CPU in both precisions. Utilisation is relative to the data
    sheet's peak, or to large matrix multiplications alone. By default, a pre-training step has 2 micro-batches of 1024
    patches (see --set). The result is written with date, hardware and commit.
    """
    from benchmarks.model_throughput import Load
    from benchmarks.training_throughput import measure
    from labram import recipe as recipes
    from labram.tracking import lineage
    from labram.training import device

    place = device.select_device().type
    result = measure(
        recipes.load(recipe, [*SMALL, *(override or [])]),
        commit=lineage.commit() + "+" * bool(lineage.dirty()),
        steps=_validated(step, _STEPS, "--step"),
        precisions=("bf16",) if place == "cuda" else ("fp32", "bf16"),
        modes=_validated(mode, _MODES, "--mode"),
        load=Load(batch=batch, device=place),
        repeats=repeats,
        on_rate=lambda rate: typer.echo(
            f"{rate.step} {rate.precision} {rate.mode}: {rate.patches_per_s:.0f} patches/s"
        ),
    )
    _print_throughput(result)
    typer.echo(f"written to {result.write(out)}")


@app.command()
def hours(
    results: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RESULTS", help=f"Results of `bench throughput`. Default: all in {RESULTS}."),
    ] = None,
) -> None:
    """Project the duration of the published trainings on 2,500 hours on the measured machines, as Markdown."""
    from benchmarks.training_hours import project, table
    from benchmarks.training_throughput import Throughput
    from labram import recipe as recipes

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


def _print(result: "Overhead | Loading", *, json: bool) -> None:
    import json as text
    from dataclasses import asdict

    values = asdict(result)
    if json:
        typer.echo(text.dumps(values | {"machine": _machine()}))
        return
    for name, value in values.items():
        typer.echo(f"{name:24} {value:.6g}")


def _machine() -> dict[str, object]:
    import platform

    import torch

    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "processor": platform.machine()}


def _validated(values: list[str], allowed: list[str], option: str) -> tuple[Any, ...]:
    unknown = [name for name in values if name not in allowed]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is not one of {', '.join(allowed)}", param_hint=option)
    return tuple(name for name in allowed if name in values)


def _line(measurement: "Measurement") -> str:
    name = f"{measurement.implementation} {measurement.step} {measurement.precision} {measurement.mode}"
    return f"{name}: {measurement.patches_per_second:.0f} patches/s"


def _print_json(measured: "list[Measurement]", load: "Load") -> None:
    import json
    from dataclasses import asdict

    from benchmarks.model_throughput import ratios

    result = {
        "load": asdict(load),
        "machine": _machine(),
        "measurements": [measurement.to_json() for measurement in measured],
        "times_braindecode": [
            {"step": step, "precision": precision, "mode": mode, "ratio": ratio}
            for (step, precision, mode), ratio in ratios(measured).items()
        ],
    }
    typer.echo(json.dumps(result, indent=2))


def _print_table(measured: "list[Measurement]") -> None:
    from rich.console import Console
    from rich.table import Table

    from benchmarks.model_throughput import ratios

    times = ratios(measured)
    table = Table("step", "precision", "mode", "patches/s", "times braindecode")
    for measurement in measured:
        if measurement.implementation == "labram":
            ratio = times.get((measurement.step, measurement.precision, measurement.mode))
            cells = f"{measurement.patches_per_second:.0f}", f"{ratio:.2f}" if ratio else "–"
            table.add_row(measurement.step, measurement.precision, measurement.mode, *cells)
    Console().print(table)
