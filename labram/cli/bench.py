"""`labram bench`: how fast models, training loop and loading are on this machine."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from labram.models.bench import Load, Measurement
    from labram.training.bench import Loading, Overhead

app = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True)
_STEPS, _PRECISIONS, _MODES = ["tokenizer", "masked", "finetune", "inference"], ["fp32", "bf16"], ["eager", "compiled"]


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
    patches, and every tenth writes a checkpoint, unless --set says otherwise.
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
