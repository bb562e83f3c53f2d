"""`labram explain`: where in a recording a prediction comes from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labram.cli.model_argument import DeviceOption, ModelArgument, resolve
from labram.cli.options import DEFAULT_WORKSPACE, WorkspaceOption
from labram.cli.recording_files import DatasetOption, LineFrequencyOption, sources_of

if TYPE_CHECKING:
    from labram.inference.occlusion import Explanation
    from labram.inference.prepare import Prepared

_SIMILAR = 0.7
"""Rank correlation from which a sanity check warns."""


def explain(
    model: ModelArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Picture: .png, .svg or .pdf; the table is beside it as .csv.")
    ] = Path("explanation.png"),
    class_: Annotated[
        str, typer.Option("--class", help="Class or target. Default: the second of two classes, else the first.")
    ] = "",
    windows: Annotated[int, typer.Option(min=1, help="Most windows to explain, evenly from the recording.")] = 32,
    dataset: DatasetOption = "",
    line_freq: LineFrequencyOption = None,
    device: DeviceOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Explain the predictions for a recording by occlusion of electrodes, frequency bands and seconds.

    The effect is the change of the class's log odds when an electrode is interpolated from the others, a band is
    removed or a second is set to zero. An effect is clear if it separates the windows more than probes of permuted
    labels do.
    Two sanity checks are printed: how similar the explanation is to that of random weights, and of permuted labels.

    Exit codes: 0 done; 1 error.
    """
    from labram.errors import CorpusError
    from labram.inference.explain_recording import class_index, explain_recording
    from labram.inference.predict_recordings import TaskModel
    from labram.inference.predictor import Predictor
    from labram.inference.prepare import Settings, prepare
    from labram.inference.reasons import NO_WINDOW
    from labram.inference.reconstruct import require_usable
    from labram.inference.table_file import check_format, table_file
    from labram.inference.unlabelled import cut
    from labram.recipe import AlignmentRecipe
    from labram.reporting.explanation import draw
    from labram.scratch_folder import scratch_folder
    from labram.store.store import Store

    check_format(out, (".png", ".svg", ".pdf"))
    served, folder = resolve(model, workspace)
    predictor = Predictor(folder, device=device)
    task_model = TaskModel.of(predictor, served)
    name = task_model.task.classes[class_index(task_model.task, class_)]
    sources = sources_of([file], dataset, "", line_freq)
    if len(sources) > 1:
        raise CorpusError(f"{len(sources)} recordings in this folder", file=file, remedy="Name one recording")
    with scratch_folder() as scratch:
        store = Store(scratch / "store")
        recording = prepare(sources[0], store=store, settings=Settings(predictor.preprocessing, predictor.quality))
        require_usable(recording, task_model.unfit(recording))
        cut_windows = cut([recording], store, task_model.task.seconds, AlignmentRecipe())
        require_usable(recording, "" if len(cut_windows) else NO_WINDOW)
        explanation = explain_recording(task_model, cut_windows, name=name, limit=windows)
    with table_file(out.with_suffix(".csv"), _COLUMNS) as table:
        table.write(_rows(explanation, recording))
    draw(explanation, f"{name} by {served.model} version {served.version}").savefig(out)
    _show(explanation, recording, name, out)


_COLUMNS: dict[str, type] = {
    "kind": str,
    "name": str,
    "effect": float,
    "low": float,
    "high": float,
    "share": float,
    "clear": bool,
    "artefact": bool,
}


def _rows(explanation: "Explanation", recording: "Prepared") -> list[dict[str, object]]:
    return [
        {
            "kind": effect.occlusion.kind,
            "name": effect.occlusion.name,
            "effect": effect.mean,
            "low": effect.low,
            "high": effect.high,
            "share": effect.share,
            "clear": effect.clear,
            "artefact": effect.occlusion.name in recording.interpolated,
        }
        for effect in explanation.effects
    ]


def _show(explanation: "Explanation", recording: "Prepared", name: str, out: Path) -> None:
    from rich.table import Table

    from labram.cli.progress import console

    table = Table("without", "effect [95 % CI]", "share", "", title=f"{name}: change of its score")
    for effect in sorted(explanation.effects, key=lambda effect: -abs(effect.mean)):
        mark = "clear" if effect.clear else ""
        remark = " (artefact: interpolated)" if effect.occlusion.name in recording.interpolated else ""
        interval = f"{effect.mean:+.3f} [{effect.low:+.3f}, {effect.high:+.3f}]"
        table.add_row(f"{effect.occlusion.kind} {effect.occlusion.name}{remark}", interval, f"{effect.share:.0%}", mark)
    console.print(table)
    checks = {"random weights": explanation.random_weights, "permuted labels": explanation.permuted}
    for check, value in checks.items():
        text = "undefined" if value is None else f"{value:.2f}"
        console.print(f"sanity check  rank correlation with the explanation of {check}: {text}")
        if value is not None and value > _SIMILAR:
            console.print(f"  the explanation is much as that of {check}: do not trust it", style="yellow")
    if not explanation.found:
        console.print("no effect is clear: the explanation found nothing", style="yellow")
    console.print(f"{explanation.windows} windows → {out}, {out.with_suffix('.csv')}", soft_wrap=True)
