"""`labram bench`: how fast the models are on this machine."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from labram.models.bench import Load, Measurement

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
    step includes the tokenizer's encoding. Figures mean something on an otherwise idle machine only.
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


def _chosen(given: list[str], known: list[str], option: str) -> tuple[Any, ...]:
    unknown = [name for name in given if name not in known]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is not one of {', '.join(known)}", param_hint=option)
    return tuple(name for name in known if name in given)


def _line(one: "Measurement") -> str:
    return f"{one.implementation} {one.step} {one.precision} {one.mode}: {one.patches_per_second:.0f} patches/s"


def _print_json(measured: "list[Measurement]", load: "Load") -> None:
    import json
    import platform
    from dataclasses import asdict

    import torch

    from labram.models.bench import ratios

    found = {
        "load": asdict(load),
        "machine": {"torch": torch.__version__, "threads": torch.get_num_threads(), "processor": platform.machine()},
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
