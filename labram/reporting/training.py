"""Report sections of self-supervised training: the tokenizer and the masked model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labram import metrics
from labram.evaluation.backbone_probe import BackboneProbe
from labram.reporting import plots
from labram.reporting.elements import (
    EmbeddedFigure,
    ReportSection,
    Table,
    count,
    embed_figure,
    estimate,
    number,
    percent,
)
from labram.reporting.plots import Line, Panel, Role
from labram.reporting.run_record import History, RunRecord
from labram.training.output_files import CODEBOOK_FILE, EXAMPLES_FILE

LABELS = {
    "amplitude_loss": "MSE of z-scores",
    "phase_loss": "MSE of z-scores",
    "amplitude_vs_mean": "MSE relative to mean spectrum",
    "phase_vs_mean": "MSE relative to mean spectrum",
    "accuracy": "accuracy (%)",
    "perplexity": "codes",
}
MOST_SPECTRA = 6
PERCENT = frozenset({"accuracy", "majority", "accuracy_symmetric"})


@dataclass(frozen=True)
class Reference:
    """Logged metric of a trivial predictor, times `scale`: a dotted line beside a curve."""

    metric: str
    label: str
    scale: float = 1.0


def panel(title: str, metric: str, history: History, *references: Reference, y_label: str = "") -> list[Panel]:
    """Return a panel with the training and validation curves of a metric, or none if it was not logged."""
    unit = 100.0 if metric in PERCENT else 1.0
    roles: tuple[Role, Role] = ("training", "validation")
    lines = [_line(history, metric, role, phase=role, label=role, scale=unit) for role in roles]
    lines += [
        _line(
            history,
            other.metric,
            "reference",
            phase=_phase(history, other.metric),
            label=other.label,
            scale=unit * other.scale,
        )
        for other in references
    ]
    drawn = [line for line in lines if line.x]
    y_label = y_label or LABELS.get(metric, metrics.title(metric))
    return [Panel(title, y_label, drawn, marks=history.resumed)] if drawn else []


def resumptions(panels: Sequence[Panel]) -> str:
    """Return a sentence about the vertical lines in the curves, or "" if there are none."""
    marks = panels[0].marks
    steps = ", ".join(f"{mark:g}" for mark in marks)
    return f" Vertical: interrupted and resumed at step {steps}." if marks else ""


def _line(history: History, metric: str, role: Role, *, phase: str, label: str, scale: float) -> Line:
    steps, values = history.line(metric, phase=phase)
    return Line(label, steps, [scale * value for value in values], role)


def _phase(history: History, metric: str) -> str:
    """Return *validation* if the metric was logged in that phase, else *training*."""
    return "validation" if history.last(metric, phase="validation") is not None else "training"


def tokenizer(record: RunRecord) -> ReportSection:
    """Return the section on the tokenizer: training curves, codebook usage, reconstructed spectra."""
    history = History.of(record.tokenizer)
    recipe, architecture = record.recipe.tokenizer, record.recipe.architecture
    if not history.rows:
        return ReportSection("tokenizer", "Tokenizer", ("No tokenizer was trained in this run.",))
    codes = _codebook(record.tokenizer)
    lead = (
        f"The tokenizer maps every patch (one second of one channel) to one of {count(architecture.codes, 'code')} "
        "and is trained to reconstruct the spectra of a window’s patches from their codes. "
        f"It was trained for {history.steps()} of {recipe.steps} steps."
    )
    panels = [
        *panel("Loss", "loss", history),
        *panel("Amplitude", "amplitude_loss", history),
        *panel("Phase", "phase_loss", history),
    ]
    perplexity = panel("Codebook perplexity", "perplexity", history)
    figures = [
        *_curves(panels, "tokenizer"),
        *_codebook_picture(codes),
        *_curves(perplexity, "perplexity", columns=1),
        *_spectra(record.tokenizer),
    ]
    return ReportSection(
        "tokenizer",
        "Tokenizer",
        (lead, *_usage(codes), *_reconstruction(history)),
        _tiles(codes, history),
        tuple(figures),
    )


def pretraining(record: RunRecord, probes: Sequence[BackboneProbe] = ()) -> ReportSection:
    """Return the section on pre-training: accuracy of masked codes, and probes beside random weights."""
    history = History.of(record.backbone)
    recipe = record.recipe.pretraining
    if not history.rows:
        return ReportSection("pretraining", "Pre-training", ("No model was pre-trained in this run.",))
    complement = ", then again with the complementary mask" if recipe.symmetric else ""
    task = (
        f"The masked model sees a window with {percent(recipe.mask_ratio)} of its patches masked and predicts their "
        f"codes{complement}. It was trained for {history.steps()} of {recipe.steps} steps."
    )
    entropy = Reference("target_entropy", "entropy of the code distribution", 2.0 if recipe.symmetric else 1.0)
    panels = [
        *panel("Loss", "loss", history, entropy),
        *panel("Accuracy", "accuracy", history, Reference("majority", "most frequent code")),
    ]
    for probe in recipe.probes:
        name, title = f"probe/{probe.task}", metrics.title(probe.metric)
        before = Reference(f"{name}/random", "initial weights")
        panels += panel(f"Probe of {probe.task}", name, history, before, y_label=title)
    figures = tuple(_curves(panels, "pretraining", columns=2))
    sentences = (task, *_masked_verdict(history))
    return ReportSection("pretraining", "Pre-training", sentences, figures=figures, tables=probe_tables(probes))


def probe_tables(probes: Sequence[BackboneProbe]) -> tuple[Table, ...]:
    """Return the table of probes of a backbone; none without probes."""
    rows = tuple(
        (
            probe.task,
            metrics.title(probe.metric),
            estimate(probe.score),
            estimate(probe.random),
            f"{count(probe.draws, 'draw')}: {number(probe.lowest)} to {number(probe.highest)}",
            estimate(probe.difference),
            probe.outcome,
            f"{probe.subjects}, {probe.seen} used in pre-training",
        )
        for probe in probes
    )
    head = ("task", "metric", "pre-trained", "random weights", "of", "difference", "the backbone", "subjects")
    note = (
        "Closed-form probes of frozen embeddings; every subject is predicted by probes of others. The backbone is "
        "promoted if it is significantly better than random weights on a task and worse on none."
    )
    return (Table("Probes of the backbone", head, rows, frozenset({2, 3, 5}), note=note),) if rows else ()


def _curves(panels: list[Panel], name: str, *, columns: int = 3) -> list[EmbeddedFigure]:
    if not panels:
        return []
    figure = plots.curves(panels, columns=columns, width=plots.FULL if columns > 1 else plots.HALF)
    described = "; ".join(f"{item.title}: {_ends(item)}" for item in panels)
    caption = "Solid: training windows. Dashed: windows of validation subjects."
    caption += resumptions(panels)
    return [embed_figure(figure, name=f"{name}-curves", alt=f"Training curves. {described}", caption=caption)]


def _ends(item: Panel) -> str:
    return ", ".join(f"{line.label} from {line.y[0]:.3g} to {line.y[-1]:.3g}" for line in item.lines)


def _masked_verdict(history: History) -> tuple[str, ...]:
    phase = _phase(history, "accuracy")
    reached, majority = history.last("accuracy", phase=phase), history.last("majority", phase=phase)
    if reached is None or majority is None:
        return ()
    relation = "above" if reached > majority else "not above"
    windows = "windows of validation subjects" if phase == "validation" else "training windows"
    sentence = (
        f"Final accuracy on {windows}: {percent(reached, 1)}, {relation} the {percent(majority, 1)} of always "
        "predicting the most frequent code."
    )
    return (sentence,)


def _codebook(folder: Path | None) -> dict[str, Any]:
    """Read ``codebook.json`` of `labram.training.codebook`, or return an empty mapping."""
    path = folder / CODEBOOK_FILE if folder else None
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path and path.is_file() else {}


def _counts(codes: dict[str, Any]) -> list[int]:
    return list(codes.get("counts", ()))


def _usage(codes: dict[str, Any]) -> tuple[str, ...]:
    counts = _counts(codes)
    if not counts:
        return ("Codebook usage was not recorded.",)
    used = sum(amount > 0 for amount in counts)
    share = max(counts) / max(sum(counts), 1)
    sentence = (
        f"The patches of the validation windows use {used} of {len(counts)} codes; "
        f"the most frequent code accounts for {percent(share)} of the patches."
    )
    return (sentence, *_usage_by_dataset(codes.get("datasets", {})))


def _usage_by_dataset(datasets: dict[str, dict[str, float]]) -> tuple[str, ...]:
    if len(datasets) < 2:
        return ()
    parts = (
        f"{name} {count(int(usage['used']), 'code')} (perplexity {number(usage['perplexity'], 1)})"
        for name, usage in datasets.items()
    )
    return (f"By dataset: {', '.join(parts)}.",)


def _reconstruction(history: History) -> tuple[str, ...]:
    """Compare the reconstruction with predicting the mean spectrum."""
    amplitude, phase = (history.last(f"{part}_vs_mean", phase="validation") for part in ("amplitude", "phase"))
    if amplitude is None or phase is None:
        return ()
    sentence = (
        "On windows of validation subjects, the mean squared error of the reconstruction is "
        f"{percent(amplitude)} (amplitude) and {percent(phase)} (phase) of the error of "
        "predicting the mean spectrum of the montage."
    )
    return (sentence,)


def _tiles(codes: dict[str, Any], history: History) -> tuple[tuple[str, str], ...]:
    counts = _counts(codes)
    tiles = []
    if counts:
        tiles.append((f"{sum(amount > 0 for amount in counts)} of {len(counts)}", "codes in use"))
    if "perplexity" in codes:
        tiles.append((number(float(codes["perplexity"]), 1), "codebook perplexity"))
    for metric, label in (("amplitude_loss", "amplitude loss, validation"), ("phase_loss", "phase loss, validation")):
        value = history.last(metric, phase="validation")
        if value is not None:
            tiles.append((number(value), label))
    return tuple(tiles)


def _codebook_picture(codes: dict[str, Any]) -> list[EmbeddedFigure]:
    counts = _counts(codes)
    if not counts or not sum(counts):
        return []
    used = sum(amount > 0 for amount in counts)
    return [
        embed_figure(
            plots.codebook(counts),
            name="codebook",
            alt=f"Codebook usage by rank: {used} of {len(counts)} codes in use.",
            caption="Code frequencies on the validation windows, in descending order. "
            "In a healthy codebook they fall slowly; a collapsed one uses only a few codes.",
        )
    ]


def _spectra(folder: Path | None) -> list[EmbeddedFigure]:
    path = folder / EXAMPLES_FILE if folder else None
    if path is None or not path.is_file():
        return []
    with np.load(path, allow_pickle=False) as arrays:
        original, reconstructed, hertz = (arrays[key] for key in ("original", "reconstructed", "frequencies"))
        names = [str(name) for name in arrays["names"]]
    shown = min(len(original), MOST_SPECTRA)
    return [
        embed_figure(
            plots.spectra(original[:shown], reconstructed[:shown], hertz, names[:shown]),
            name="spectra",
            alt=f"Amplitude spectra of {count(shown, 'patch', 'patches')} of validation subjects, "
            "each with the spectrum reconstructed from its code.",
            caption="Amplitude spectra of patches of validation subjects (solid) and their reconstruction from the "
            "codes (dashed), z-scored within the window like the training target.",
        )
    ]
