"""The chapters about self-supervised training: the tokenizer and the masked model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labram.reporting import plots
from labram.reporting.elements import METRIC_TITLES, Chapter, Picture, count, number, percent, picture
from labram.reporting.plots import Line, Panel, Role
from labram.reporting.run_record import History, RunRecord

LABELS = {
    **METRIC_TITLES,
    "amplitude_loss": "MSE of z-scores",
    "phase_loss": "MSE of z-scores",
    "amplitude_vs_mean": "of the mean's error",
    "phase_vs_mean": "of the mean's error",
    "accuracy": "right (%)",
    "perplexity": "codes",
}
MOST_SPECTRA = 6
PERCENT = frozenset({"accuracy", "majority", "accuracy_symmetric"})


@dataclass(frozen=True)
class Reference:
    """A logged figure to draw as a dotted line beside a curve: what needs no learning, times `scale`."""

    metric: str
    label: str
    scale: float = 1.0


def panel(title: str, metric: str, history: History, *references: Reference) -> list[Panel]:
    """The curves of one metric in training and validation; no panel where nothing was logged."""
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
    return [Panel(title, LABELS.get(metric, metric), drawn, marks=history.resumed)] if drawn else []


def resumptions(panels: Sequence[Panel]) -> str:
    """A sentence about the vertical lines in curves, where there are any."""
    marks = panels[0].marks
    steps = ", ".join(f"{mark:g}" for mark in marks)
    return f" Vertical: interrupted, and gone on after step {steps}." if marks else ""


def _line(history: History, metric: str, role: Role, *, phase: str, label: str, scale: float) -> Line:
    steps, values = history.line(metric, phase=phase)
    return Line(label, steps, [scale * value for value in values], role)


def _phase(history: History, metric: str) -> str:
    """Where a figure is best read: on validation windows, else where it was logged."""
    return "validation" if history.last(metric, phase="validation") is not None else "training"


def tokenizer(record: RunRecord) -> Chapter:
    """How well patches survive being turned into one code each."""
    history = History.of(record.tokenizer)
    recipe, architecture = record.recipe.tokenizer, record.recipe.architecture
    if not history.rows:
        return Chapter("tokenizer", "Tokenizer", ("No tokenizer was trained in this run.",))
    codes = _codebook(record.tokenizer)
    lead = (
        f"The tokenizer turns every patch, one second of one channel, into one of {count(architecture.codes, 'code')}, "
        "and is trained to give the spectra of a window’s patches back from their codes alone. "
        f"It was trained for {history.steps()} of {recipe.steps} steps."
    )
    panels = [
        *panel("Loss", "loss", history),
        *panel("Amplitude", "amplitude_loss", history),
        *panel("Phase", "phase_loss", history),
    ]
    perplexity = panel("Perplexity of the codes", "perplexity", history)
    pictures = [
        *_curves(panels, "tokenizer"),
        *_codebook_picture(codes),
        *_curves(perplexity, "perplexity", columns=1),
        *_spectra(record.tokenizer),
    ]
    return Chapter(
        "tokenizer",
        "Tokenizer",
        (lead, *_usage(codes), *_reconstruction(history)),
        _tiles(codes, history),
        tuple(pictures),
    )


def pretraining(record: RunRecord) -> Chapter:
    """How well the masked model predicts the codes of patches that it does not see."""
    history = History.of(record.backbone)
    recipe = record.recipe.pretraining
    if not history.rows:
        return Chapter("pretraining", "Pre-training", ("No model was pre-trained in this run.",))
    complement = ", then the same with the other patches hidden" if recipe.symmetric else ""
    task = (
        f"The masked model sees a window with {percent(recipe.mask_ratio)} of its patches hidden and predicts their "
        f"codes{complement}. It was trained for {history.steps()} of {recipe.steps} steps."
    )
    entropy = Reference("target_entropy", "knowing how often codes occur", 2.0 if recipe.symmetric else 1.0)
    panels = [
        *panel("Loss", "loss", history, entropy),
        *panel("Accuracy", "accuracy", history, Reference("majority", "always the commonest code")),
    ]
    pictures = tuple(_curves(panels, "pretraining", columns=2))
    return Chapter("pretraining", "Pre-training", (task, *_masked_verdict(history)), pictures=pictures)


def _curves(panels: list[Panel], name: str, *, columns: int = 3) -> list[Picture]:
    if not panels:
        return []
    figure = plots.curves(panels, columns=columns, width=plots.FULL if columns > 1 else plots.HALF)
    described = "; ".join(f"{item.title}: {_ends(item)}" for item in panels)
    caption = "Solid: training windows. Dashed: windows of validation subjects, which are not trained on."
    caption += resumptions(panels)
    return [picture(figure, name=f"{name}-curves", alt=f"Training curves. {described}", caption=caption)]


def _ends(item: Panel) -> str:
    return ", ".join(f"{line.label} from {line.y[0]:.3g} to {line.y[-1]:.3g}" for line in item.lines)


def _masked_verdict(history: History) -> tuple[str, ...]:
    phase = _phase(history, "accuracy")
    reached, majority = history.last("accuracy", phase=phase), history.last("majority", phase=phase)
    if reached is None or majority is None:
        return ()
    better = "more than" if reached > majority else "not more than"
    where = "windows of validation subjects" if phase == "validation" else "training windows"
    sentence = (
        f"On {where} it ends at {percent(reached, 1)} right, {better} the {percent(majority, 1)} that "
        "always naming the commonest code would give."
    )
    return (sentence,)


def _codebook(folder: Path | None) -> dict[str, Any]:
    """What `labram.training.codebook` wrote; empty where there is none."""
    path = folder / "codebook.json" if folder else None
    return dict(json.loads(path.read_text())) if path and path.is_file() else {}


def _counts(codes: dict[str, Any]) -> list[int]:
    return list(codes.get("counts", ()))


def _usage(codes: dict[str, Any]) -> tuple[str, ...]:
    counts = _counts(codes)
    if not counts:
        return ("How often each code is used was not recorded.",)
    used = sum(amount > 0 for amount in counts)
    share = max(counts) / max(sum(counts), 1)
    sentence = (
        f"The patches of the validation windows use {used} of the {len(counts)} codes; "
        f"the commonest stands for {percent(share)} of them."
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
    """How the reconstruction compares with one that needs no code."""
    amplitude, phase = (history.last(f"{part}_vs_mean", phase="validation") for part in ("amplitude", "phase"))
    if amplitude is None or phase is None:
        return ()
    sentence = (
        "On windows of validation subjects its squared error is "
        f"{percent(amplitude)} (amplitude) and {percent(phase)} (phase) of that of "
        "answering every patch with the mean spectrum of its montage."
    )
    return (sentence,)


def _tiles(codes: dict[str, Any], history: History) -> tuple[tuple[str, str], ...]:
    counts = _counts(codes)
    tiles = []
    if counts:
        tiles.append((f"{sum(amount > 0 for amount in counts)} of {len(counts)}", "codes in use"))
    if "perplexity" in codes:
        tiles.append((number(float(codes["perplexity"]), 1), "perplexity: as many codes, used evenly"))
    for metric, label in (("amplitude_loss", "amplitude loss, validation"), ("phase_loss", "phase loss, validation")):
        value = history.last(metric, phase="validation")
        if value is not None:
            tiles.append((number(value), label))
    return tuple(tiles)


def _codebook_picture(codes: dict[str, Any]) -> list[Picture]:
    counts = _counts(codes)
    if not counts or not sum(counts):
        return []
    used = sum(amount > 0 for amount in counts)
    return [
        picture(
            plots.codebook(counts),
            name="codebook",
            alt=f"Codebook usage by rank: {used} of {len(counts)} codes in use.",
            caption="How often each code is used on the validation windows, most used first. "
            "A healthy codebook falls slowly; a collapsed one ends after a few codes.",
        )
    ]


def _spectra(folder: Path | None) -> list[Picture]:
    path = folder / "examples.npz" if folder else None
    if path is None or not path.is_file():
        return []
    with np.load(path, allow_pickle=False) as arrays:
        original, reconstructed, hertz = (arrays[key] for key in ("original", "reconstructed", "frequencies"))
        names = [str(name) for name in arrays["names"]]
    shown = min(len(original), MOST_SPECTRA)
    return [
        picture(
            plots.spectra(original[:shown], reconstructed[:shown], hertz, names[:shown]),
            name="spectra",
            alt=f"Amplitude spectra of {count(shown, 'patch', 'patches')} of validation subjects, "
            "each with the spectrum reconstructed from its code.",
            caption="Amplitude spectra of patches of validation subjects (solid) and what the tokenizer gives back "
            "from their codes (dashed). z-scored within the window, as the training target is.",
        )
    ]
