"""Model cards of registered versions: input, training data, results, limits and lineage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labram.corpus.catalogue import Corpus
from labram.datasets import ADAPTERS
from labram.evaluation.backbone_probe import BackboneProbe
from labram.evaluation.leakage import Ledger, Seen
from labram.evaluation.record import Evaluation
from labram.evaluation.statistics import METHOD, Estimate
from labram.evaluation.subgroups import Subgroup
from labram.input_spec import MAX_PATCHES, MAX_SECONDS
from labram.recipe import LEAST_WINDOWS, GateRecipe
from labram.registry.front_matter import front_matter

if TYPE_CHECKING:
    import pandas as pd

NOT_FOR = (
    "Not a medical device. Not for diagnosis, monitoring or any decision about a person. Trained on few subjects: "
    "results will differ for other hospitals, amplifiers, montages and populations."
)
INPUT = (
    "Signals in µV, float32 `[windows, channels, samples]`, band-pass filtered 0.1-75 Hz, line noise removed; "
    "parameters `channels` (electrode names of the 10-10 system) and `sfreq` (Hz). "
    f"Windows of 1 to {MAX_SECONDS} s and at most {MAX_PATCHES} patches (channels x seconds)."
)


@dataclass(frozen=True)
class Amount:
    """Number of recordings, number of their subjects, and their total duration in hours."""

    recordings: int
    subjects: int
    hours: float

    @classmethod
    def of(cls, rows: "pd.DataFrame") -> "Amount":
        """Count the rows of a catalogue."""
        return cls(len(rows), int(rows["subject_key"].nunique()), float(rows["seconds"].sum()) / 3600)

    def __str__(self) -> str:
        """Return the amount in words."""
        return f"{self.recordings} recordings of {self.subjects} subjects, {self.hours:.2f} hours"


@dataclass(frozen=True)
class TrainingData:
    """Data that a model was trained on.

    Attributes:
        total: Accepted recordings in the training and validation splits, or of a cross-validation.
        datasets: The same by dataset (adapter name).
        guessed: What subjects are guessed from; empty if all are stated.
    """

    total: Amount
    datasets: Mapping[str, Amount]
    guessed: str = ""

    @classmethod
    def from_corpus(cls, corpus: Corpus, dataset: str | None = None) -> "TrainingData":
        """Count the training data of one dataset, or of the whole corpus."""
        rows = corpus.accepted(dataset=dataset)
        cross_validated = rows["protocol"].fillna("") != ""
        rows = rows[rows["split"].isin(["train", "validation"]) | cross_validated]
        parts = {str(name): Amount.of(part) for name, part in rows.groupby("dataset")}
        return cls(Amount.of(rows), dict(sorted(parts.items())), corpus.subjects_guessed_from or "")


def task_card(
    name: str,
    evaluation: Evaluation,
    data: TrainingData,
    lineage: Mapping[str, str],
    gates: GateRecipe,
    *,
    groups: Sequence[Subgroup] = (),
    ledger: Ledger | None = None,
    evaluated: Seen | None = None,
) -> str:
    """Return the card of a fine-tuned model.

    Args:
        name: Registered name.
        evaluation: Its evaluation.
        data: What it was trained on.
        lineage: Tags of its origin.
        gates: Section `gates` of its recipe.
        groups: Scores of subgroups of the test windows, the worst first.
        ledger: What training and pre-training saw; None if that is not known.
        evaluated: What the evaluation used.
    """
    outputs = {
        "binary": f"probability of *{evaluation.classes[-1]}* (against *{evaluation.classes[0]}*)",
        "multiclass": f"probabilities of {', '.join(f'*{label}*' for label in evaluation.classes)}",
        "regression": f"values of {', '.join(f'*{label}*' for label in evaluation.classes)}",
    }[evaluation.kind]
    return _card(
        name,
        f"{_adapted(evaluation)}: {evaluation.title}. Returns {outputs} for each window.{_request(evaluation)}",
        data,
        f"{_results(evaluation)}{_waived(evaluation, gates)}\n\n## Subgroups\n\n{_subgroups(evaluation, groups)}",
        lineage,
        evaluation,
        before_results=f"## Overlap of training and test\n\n{_overlap(ledger, evaluated or Seen())}\n\n"
        f"## Protocol\n\n{_protocol(evaluation, gates)}\n\n",
    )


def _adapted(evaluation: Evaluation) -> str:
    if not evaluation.predictor:
        return "LaBraM fine-tuned for"
    return "LaBraM, frozen, with a probe for" if not evaluation.labram else "LaBraM, frozen, and the spectral model for"


def _request(evaluation: Evaluation) -> str:
    within = (
        f" It standardises features within the subject of a request, so a request has at least {LEAST_WINDOWS} windows."
        if "within each subject" in evaluation.predictor
        else ""
    )
    if evaluation.alignment == "none":
        return within
    if evaluation.calibrated:
        return within + (
            " The model aligns the windows of a request on the rest that they begin with "
            f"({evaluation.alignment}): a request has windows of one subject only, and one without these seconds is an "
            "error."
        )
    return within + (
        " The model aligns the windows of a request on all of them, so a request has windows of one subject only, "
        "and Euclidean alignment needs at least one second for each channel."
    )


def backbone_card(
    data: TrainingData,
    lineage: Mapping[str, str],
    probes: Sequence[BackboneProbe] = (),
    gates: GateRecipe | None = None,
) -> str:
    """Return the card of a pre-trained backbone, with its probes beside random weights."""
    text = "LaBraM pre-trained by predicting the codes of masked patches. Returns one embedding for each window."
    results = "Not compared with random weights: no task has subjects to compare them on."
    if probes:
        listed = "\n".join(f"- {probe.describe()}." for probe in probes)
        results = (
            "Closed-form probes of its frozen embeddings, every subject predicted by probes of others, with paired "
            f"95 % intervals over subjects:\n\n{listed}"
        )
    if gates is not None and not gates.probes:
        better = any(probe.better for probe in probes) and not any(probe.worse for probe in probes)
        end = "." if better else ": **if promoted, it is promoted without beating random weights.**"
        results += f"\n\nIts recipe turns the gate against random weights off (`gates.probes: false`){end}"
    return _card("labram-backbone", text, data, results, lineage)


def tokenizer_card(codebook: Mapping[str, object], data: TrainingData, lineage: Mapping[str, str]) -> str:
    """Return the card of a tokenizer."""
    text = "LaBraM's neural tokenizer (VQ-NSP). Returns one code for each patch, in channel-major order."
    used, perplexity = codebook.get("used"), codebook.get("perplexity")
    return _card("labram-tokenizer", text, data, f"{used} codes used, perplexity {perplexity}.", lineage)


def _card(
    name: str,
    description: str,
    data: TrainingData,
    results: str,
    lineage: Mapping[str, str],
    evaluation: Evaluation | None = None,
    before_results: str = "",
) -> str:
    sources = "\n".join(_source(dataset, amount) for dataset, amount in data.datasets.items())
    origin = "\n".join(f"- {key}: `{value}`" for key, value in sorted(lineage.items()) if value)
    simulated = ", including simulated signals" if any("simulated" in name for name in data.datasets) else ""
    guessed = f"**Subjects: {data.guessed}.** One person may be several subjects.\n\n" if data.guessed else ""
    run = lineage.get("pipeline_run")
    again = (
        f"`labram reproduce {run}`, with `--workspace` or MLFLOW_TRACKING_URI naming this registry, runs it again at "
        "its commit, from its lock file and corpus, and compares every artifact.\n\n"
        if run
        else ""
    )
    return front_matter(name, data.datasets, evaluation) + (
        f"# {name}\n\n{description}\n\n## Input\n\n{INPUT}\n\n"
        f"## Intended use and limits\n\nResearch on EEG representations. {NOT_FOR}\n\n"
        f"## Data\n\n{data.total}{simulated}.\n\n{guessed}{sources}\n\n"
        f"{before_results}## Results\n\n{results}\n\n"
        f"## Licence\n\nCode and weights: MIT. The recordings keep their own licences, named above.\n\n"
        f"## How to reproduce\n\n{again}{origin}\n"
    )


def _source(dataset: str, amount: Amount) -> str:
    adapter = ADAPTERS.get(dataset)
    return f"- {f'{adapter.title}; {adapter.licence}' if adapter else dataset}: {amount}"


def _overlap(ledger: Ledger | None, evaluated: Seen) -> str:
    """Return what each training stage saw, and how much of it was tested, as a table."""
    if ledger is None or not ledger.stages:
        return "What training and pre-training saw is not known."
    shared = ledger.overlap(evaluated)
    rows = "\n".join(
        f"| {stage} | {len(seen.subjects)} | {len(seen.contents)} | {len(shared.subjects.get(stage, ()))} | "
        f"{len(shared.contents.get(stage, ()))} |"
        for stage, seen in sorted(ledger.stages.items())
    )
    return (
        f"Tested: {len(evaluated.subjects)} subjects, {len(evaluated.contents)} recordings.\n\n"
        "| training stage | subjects | recordings | subjects tested too | recordings tested too |\n"
        f"|{' --- |' * 5}\n{rows}"
    )


def _protocol(evaluation: Evaluation, gates: GateRecipe) -> str:
    chance = "" if evaluation.chance is None else f", {evaluation.chance:.3f} by chance"
    cross_validated = "" if evaluation.protocol == "holdout" else " The registered model was trained on all of them."
    return (
        f"{_capital(evaluation.tested)}: {evaluation.n_windows} windows of subjects that the scored models had not "
        f"seen.{cross_validated} Headline metric: {evaluation.metric}{chance}. Intervals: {METHOD}, "
        f"{evaluation.bootstrap_draws} draws. Alignment: {evaluation.alignment}. The gates allow a loss of "
        f"{gates.margin:g} against baseline and champion."
    )


def _subgroups(evaluation: Evaluation, groups: Sequence[Subgroup]) -> str:
    if not groups:
        return "The test windows are of one dataset and one montage."
    rows = "\n".join(
        f"| {group.name} | {'undefined' if group.value is None else f'{group.value:.3f}'} | {group.subjects} | "
        f"{group.windows} |"
        for group in groups
    )
    return f"The worst first.\n\n| subgroup | {evaluation.metric} | subjects | windows |\n|{' --- |' * 4}\n{rows}"


def _results(evaluation: Evaluation) -> str:
    sides = {"model": evaluation.model}
    sides |= {"LaBraM alone": evaluation.labram} if evaluation.labram else {}
    sides |= {"random weights": evaluation.random} if evaluation.random else {}
    sides["baseline"] = evaluation.baseline
    rows = "\n".join(
        f"| {metric} | {' | '.join(_format(scores.get(metric)) for scores in sides.values())} |"
        for metric in evaluation.model
    )
    head = f"| metric | {' | '.join(sides)} |\n|{' --- |' * (len(sides) + 1)}\n"
    predictor = f"Model: {evaluation.predictor}.\n\n" if evaluation.predictor else ""
    notes = "".join(f"\n\n{note}" for note in evaluation.notes)
    decided = f"\n\n{evaluation.decisions.summary}" if evaluation.decisions else ""
    marks = "".join(f"{mark}\n\n" for mark in evaluation.marks)
    return (
        f"{marks}{predictor}{head}{rows}\n\n"
        f"The model {evaluation.against_baseline.predicate} ({evaluation.baseline_method or 'none'}) on "
        f"{evaluation.metric}; the difference is {_format(evaluation.difference)}{_p(evaluation)}. "
        f"{evaluation.over_subjects} {evaluation.compared}{decided}{notes}"
    )


def _p(evaluation: Evaluation) -> str:
    return "" if evaluation.p_value is None else f" (permutation test over subjects: p = {evaluation.p_value:.3f})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _waived(evaluation: Evaluation, gates: GateRecipe) -> str:
    if gates.baseline:
        return ""
    loss = evaluation.difference.value
    below = loss is None or loss < -gates.margin
    return "\n\nIts recipe turns the gate against the baseline off (`gates.baseline: false`)" + (
        ": **if promoted, it is promoted below its baseline.**" if below else "."
    )


def _format(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "undefined"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
