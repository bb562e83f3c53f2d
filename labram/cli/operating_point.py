"""`labram operating-point`: the threshold of a binary model's decisions."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labram.cli.model_argument import DeviceOption, ModelArgument, resolve
from labram.cli.options import DEFAULT_WORKSPACE, WorkspaceOption
from labram.cli.recording_files import SubjectOption

if TYPE_CHECKING:
    from labram.evaluation.operating_point import OperatingPoint, Performance


class Rule(StrEnum):
    """Metric that a threshold maximises or keeps."""

    YOUDEN = "youden"
    SENSITIVITY = "sensitivity"
    SPECIFICITY = "specificity"
    FALSE_ALARMS = "false_alarms_per_hour"


class DecideBy(StrEnum):
    """Unit of a decision."""

    WINDOW = "window"
    RECORDING = "recording"


def operating_point(
    model: ModelArgument,
    validation: Annotated[
        Path, typer.Option("--validation", help="Folder of labelled recordings that training did not use.")
    ],
    test: Annotated[
        Path | None, typer.Option("--test", help="Folder of labelled recordings of other subjects, to report on.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("operating_point.json"),
    rule: Annotated[
        Rule,
        typer.Option(
            help="Maximise Youden's index, or reach the value of --at for this metric at the best value of the other."
        ),
    ] = Rule.YOUDEN,
    at: Annotated[
        float | None, typer.Option(help="Least sensitivity or specificity, or most false alarms per hour.")
    ] = None,
    by: Annotated[DecideBy, typer.Option(help="Decide on windows or on recordings.")] = DecideBy.WINDOW,
    abstain: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of the least confident cases that are not decided.")
    ] = 0.0,
    subject: SubjectOption = "",
    device: DeviceOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Choose the threshold of a binary model on validation recordings alone; report it on test recordings.

    Sensitivity and specificity have 95 % intervals over subjects; the table of coverage shows the accuracy of the most
    confident cases. `labram predict --operating-point FILE` then writes decisions, and where the model abstains.

    Exit codes: 0 done; 1 error.
    """
    import warnings

    from labram.cli.progress import Bar
    from labram.corpus.pseudonyms import load_key
    from labram.errors import LabramWarning
    from labram.evaluation.choose_operating_point import choose_operating_point
    from labram.platform.workspace import Workspace
    from labram.recipe import OperatingPointRecipe
    from labram.recipe.loader import validated
    from labram.registry.model_registry import weights_digest
    from labram.store.store import Store

    recipe = validated(
        OperatingPointRecipe, {"rule": rule.value, "at": at, "by": by.value, "abstain": abstain}, "operating-point"
    )
    opened = Workspace.at(workspace)
    served, folder = resolve(model, workspace)
    with warnings.catch_warnings(), Bar("operating point") as bar:
        warnings.simplefilter("ignore", LabramWarning)  # the warning is one of the notes
        point, notes = choose_operating_point(
            folder,
            validation,
            name=served.model,
            weights=weights_digest(folder),
            store=Store(opened.store),
            subject_key=load_key(opened.root),
            recipe=recipe,
            test=test,
            subject=subject,
            device=device,
            monitor=bar,
            test_uses=opened.test_uses,
        )
    point.write(out)
    _show(point, notes, out)


def _show(point: "OperatingPoint", notes: tuple[str, ...], out: Path) -> None:
    from rich.table import Table

    from labram.cli.progress import console

    sides = {"validation (optimistic)": point.validation} | ({"test": point.test} if point.test else {})
    table = Table(f"{point.task}, by {point.by}", *sides, title=f"{point.classes[1]} from p = {point.threshold:.4f}")
    for row in zip(*(_rows(side) for side in sides.values()), strict=True):
        table.add_row(row[0][0], *(value for _, value in row))
    console.print(table)
    for note in notes:
        console.print(f"note: {note}", style="yellow")
    console.print(f"operating point → {out}", soft_wrap=True)


def _rows(side: "Performance") -> list[tuple[str, str]]:
    from labram.evaluation.operating_point import COVERAGES

    curve = list(zip(COVERAGES, side.curve, strict=True))
    return [
        ("sensitivity [95 % CI]", str(side.sensitivity)),
        ("specificity [95 % CI]", str(side.specificity)),
        ("false alarms per hour", _number(side.false_alarms_per_hour, 2)),
        ("decided", f"{side.coverage:.0%}, accuracy {_number(side.accuracy, 3)}"),
        *((f"accuracy of the surest {share:.0%}", f"{value:.3f}") for share, (_, value) in curve),
        ("cases, subjects", f"{side.cases}, {side.subjects}"),
    ]


def _number(value: float | None, digits: int) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"
