"""The verdict: shards become one corpus, each recording is accepted or quarantined, and subjects get their split."""

import json
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labram.corpus import data_docs, splits
from labram.corpus.catalogue import ACCEPTED, QUARANTINED, SPLITS, Corpus, Split
from labram.corpus.rules import Outcome, Rule, SuiteResult, check_rules, copy_rules, recording_rules
from labram.corpus.spectra import unit_correction
from labram.errors import CorpusError, LabelError
from labram.recipe import QualityRecipe, SplitRecipe

QUALITY_FILE, SUMMARY_FILE = "quality.json", "summary.json"


@dataclass(frozen=True)
class Summary:
    """What a corpus has, as counts.

    Attributes:
        recordings: All of them; equals `accepted` + `quarantined`.
        accepted: Recordings that are used.
        quarantined: Recordings that are refused.
        hours: Length of the accepted ones.
        datasets: By dataset: recordings, accepted, quarantined, subjects, hours.
        montages: By number of channels: hours.
        subjects: By dataset, then split: subjects.
        reasons: By reason code: recordings.
        warnings: By warning code: recordings, or what the warning counts.
        labels: By task, then split: labelled intervals.
    """

    recordings: int
    accepted: int
    quarantined: int
    hours: float
    datasets: Mapping[str, Mapping[str, float]]
    montages: Mapping[str, float]
    subjects: Mapping[str, Mapping[str, int]]
    reasons: Mapping[str, int]
    warnings: Mapping[str, int]
    labels: Mapping[str, Mapping[str, int]]

    def to_json(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), sort_keys=True, indent=1)


def check_quality(
    shards: Sequence[Path],
    out: Path,
    quality: QualityRecipe,
    split: SplitRecipe | Split,
    *,
    seed: int = 0,
    tasks: Mapping[str, str] | None = None,
) -> Summary:
    """Make one judged corpus of the shards of an ingest.

    Writes `catalogue.parquet`, `labels.parquet`, `quality.json` (each rule and who broke it), `summary.json` and Great
    Expectations' Data Docs.

    Args:
        shards: Folders that `labram.corpus.ingest.ingest` wrote.
        out: Folder for the corpus.
        quality: Thresholds.
        split: Shares to hold out, or one split for all recordings.
        seed: Of the split.
        tasks: Tasks that must have labels in each split, with the dataset that must have them.

    Returns:
        Counts.

    Raises:
        CorpusError: If no recording is accepted.
        LabelError: If a task has no labels to train or evaluate on.
    """
    corpus = Corpus.merged(Corpus.load(shard) for shard in shards)
    corpus = _derived(corpus, quality)
    corpus, each = _judged(corpus, recording_rules(quality), _figures(corpus, quality))
    corpus = _with_copies(corpus)
    corpus, copies = _judged(corpus, copy_rules(), _relations(corpus))
    corpus = splits.apply_splits(corpus, _splits(corpus, split, seed))
    summary = summarise(corpus)
    corpus.save(out)
    (out / SUMMARY_FILE).write_text(summary.to_json())
    (out / QUALITY_FILE).write_text(_report((*each.outcomes, *copies.outcomes)))
    data_docs.write({"recordings": each.result, "copies": copies.result}, out)
    if not summary.accepted:
        raise CorpusError(
            f"none of {summary.recordings} recordings can be used ({_counted(summary.reasons)})",
            remedy="See the reason codes in the documentation, and the thresholds in the recipe's section quality",
        )
    needed = _held_out(split) if isinstance(split, SplitRecipe) else (split,)
    for task, dataset in (tasks or {}).items():
        _require_labels(corpus, task, dataset, needed)
    return summary


def summarise(corpus: Corpus) -> Summary:
    """Count what is in a judged corpus."""
    rows, accepted = corpus.catalogue, corpus.accepted()
    refused = corpus.quarantined()
    assert len(rows) == len(accepted) + len(refused), "in = accepted + quarantined"
    labels = corpus.labels.merge(accepted[["recording_id", "split"]], on="recording_id")
    return Summary(
        recordings=len(rows),
        accepted=len(accepted),
        quarantined=len(refused),
        hours=_hours(accepted),
        datasets={str(name): _dataset(part) for name, part in rows.groupby("dataset")},
        montages={str(channels): _hours(part) for channels, part in accepted.groupby(accepted["montage"].map(len))},
        subjects=_nested(accepted.drop_duplicates("subject_key"), "dataset"),
        reasons=_tally(refused["reasons"]),
        warnings=_tally(rows["warnings"]),
        labels=_nested(labels, "task"),
    )


def _derived(corpus: Corpus, quality: QualityRecipe) -> Corpus:
    """Fill in what follows from figures and thresholds: bad channels, and the factor that a unit is off."""
    rows = corpus.catalogue.copy()
    read = rows["store_key"] != ""
    rows["unit_correction"] = [unit_correction(rms, quality.typical_rms_uv) for rms in _eeg_rms(rows, quality)]
    counts = [_channels(row, quality) for row in rows.to_dict("records")]
    for kind, name in enumerate(("flat_channels", "saturated_channels", "bad_channels")):
        rows[name] = pd.Series([count[kind] for count in counts], index=rows.index, dtype="Int32").where(read)
    channels = rows["montage"].map(len).clip(lower=1)
    for name in ("flat", "bad"):
        rows[f"{name}_fraction"] = (rows[f"{name}_channels"] / channels).astype("Float64").where(read)
    return Corpus(rows, corpus.labels)


def _eeg_rms(rows: pd.DataFrame, quality: QualityRecipe) -> "pd.Series[float]":
    """Amplitudes of what may be EEG: the noise of an open input is small for no fault of the unit."""
    return rows["band_rms_uv"].mask(rows["psd_slope"] > quality.max_psd_slope)


def _channels(row: Mapping[Hashable, Any], quality: QualityRecipe) -> tuple[int, int, int]:
    """Flat, saturated and bad channels of a recording. A wrong unit makes no channel flat."""
    sd, still, extreme = (
        np.asarray(row[name] or [], np.float64)
        for name in ("channel_sd_uv", "channel_flat_fraction", "channel_saturated_fraction")
    )
    correction = max(1.0, row["unit_correction"])
    saturated = extreme > quality.max_saturated
    return (
        int(((sd * correction < quality.flat_sd_uv) | (still > quality.max_constant_fraction)).sum()),
        int(saturated.sum()),
        int(((sd > quality.max_channel_sd_uv) | saturated).sum()),
    )


def _judged(corpus: Corpus, suite: Sequence[Rule], figures: pd.DataFrame) -> tuple[Corpus, SuiteResult]:
    """The corpus with reasons, warnings and verdicts by one suite."""
    rows = corpus.catalogue.copy()
    checked = check_rules(figures, suite)
    codes: dict[str, dict[str, list[str]]] = {"critical": defaultdict(list), "warning": defaultdict(list)}
    for outcome in checked.outcomes:
        for recording in outcome.recordings:
            listed = codes[outcome.rule.severity][recording]
            if outcome.rule.code not in listed:
                listed.append(str(outcome.rule.code))
    for column, severity in (("reasons", "critical"), ("warnings", "warning")):
        added = codes[severity]
        rows[column] = [
            [*have, *added.get(recording, ())]
            for recording, have in zip(rows["recording_id"], rows[column], strict=True)
        ]
    rows["verdict"] = np.where(rows["reasons"].map(len) > 0, QUARANTINED, ACCEPTED)
    return Corpus(rows, corpus.labels), checked


def _figures(corpus: Corpus, quality: QualityRecipe) -> pd.DataFrame:
    """Columns that rules are about, of the recordings that could be read."""
    rows = corpus.accepted()
    single = [name for name in rows.columns if not rows[name].map(lambda value: isinstance(value, list)).any()]
    return rows[single].assign(channels=rows["montage"].map(len), band_rms_uv=_eeg_rms(rows, quality))


def _with_copies(corpus: Corpus) -> Corpus:
    """Find recordings of equal content or signal: one is taken, with labels rather than without, the others copy it.

    Of several with labels the labels decide, since a part of each id depends on the subjects' key.
    """
    rows = corpus.catalogue.copy()
    texts: dict[str, str] = defaultdict(str)
    for label in corpus.labels.sort_values(["recording_id", "task", "start"]).to_dict("records"):
        texts[label["recording_id"]] += f"{label['task']} {label['start']} {label['seconds']} {label['label']};"
    labels = rows["recording_id"].map(lambda recording: texts.get(recording, ""))
    ranked = rows.assign(labels=labels, unlabelled=labels == "")[rows["verdict"] == ACCEPTED]
    ordered = ranked.sort_values(["unlabelled", "labels", "recording_id"])
    copies: dict[str, str] = {}
    for column in ("content_hash", "signal_hash"):
        known = ordered[ordered[column].fillna("") != ""]
        first = known.groupby(column, sort=False)["recording_id"].transform("first")
        found = zip(known["recording_id"], first, strict=True)
        copies |= {copy: original for copy, original in found if copy != original}
    rows["copy_of"] = [copies.get(recording, "") for recording in rows["recording_id"]]
    return Corpus(rows, corpus.labels)


def _relations(corpus: Corpus) -> pd.DataFrame:
    """Columns that `copy_rules` are about, of accepted recordings."""
    rows = corpus.accepted()
    subjects = dict(zip(rows["recording_id"], rows["subject_key"], strict=True))
    copies = rows["copy_of"] != ""
    others = copies & (rows["copy_of"].map(subjects) != rows["subject_key"])
    return pd.DataFrame(
        {
            "recording_id": rows["recording_id"],
            "copies": copies.astype(int),
            "copies_of_others": others.astype(int),
            "copied_by_others": rows["recording_id"].isin(set(rows["copy_of"][others])).astype(int),
        }
    )


def _splits(corpus: Corpus, split: SplitRecipe | Split, seed: int) -> Mapping[str, Split]:
    if isinstance(split, SplitRecipe):
        return splits.assign_splits(corpus, split, seed)
    return dict.fromkeys(corpus.accepted()["subject_key"], split)


def _held_out(split: SplitRecipe) -> tuple[Split, ...]:
    shares = {"train": 1.0, "validation": split.validation, "test": split.test}
    return tuple(name for name in SPLITS if shares[name] > 0)


def _require_labels(corpus: Corpus, task: str, dataset: str, needed: Sequence[Split]) -> None:
    present = set(corpus.intervals(task, dataset=dataset)["split"])
    if not present:
        raise LabelError(
            f"the task {task} has no labels in the dataset {dataset}",
            field=f"tasks.{task}",
            remedy="Check that the dataset has its label files and names, or leave the task out of the recipe",
        )
    missing = [split for split in needed if split not in present]
    if missing:
        raise LabelError(
            f"the task {task} has labels of too few subjects: none is left for {', '.join(missing)}",
            field=f"tasks.{task}",
            remedy=f"Add subjects to the dataset {dataset}; it takes {splits.LEAST_SUBJECTS} with labels at least",
        )


def _report(outcomes: Sequence[Outcome]) -> str:
    entries = [
        {**asdict(outcome.rule), "failed": len(outcome.recordings), "recordings": list(outcome.recordings)}
        for outcome in outcomes
    ]
    return json.dumps(entries, indent=1, sort_keys=True)


def _dataset(rows: pd.DataFrame) -> dict[str, float]:
    accepted = rows[rows["verdict"] == ACCEPTED]
    return {
        "recordings": len(rows),
        "accepted": len(accepted),
        "quarantined": len(rows) - len(accepted),
        "subjects": int(accepted["subject_key"].nunique()),
        "hours": _hours(accepted),
    }


def _hours(rows: pd.DataFrame) -> float:
    return round(float(rows["seconds"].sum()) / 3600, 4)


def _nested(rows: pd.DataFrame, outer: str) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for (name, split), part in rows.groupby([outer, "split"]):
        counts[str(name)][str(split)] = len(part)
    return dict(counts)


def _tally(codes: "pd.Series[list[str]]") -> dict[str, int]:
    """Recordings by code; codes that count something (`code=3`) are added up."""
    counts: dict[str, int] = defaultdict(int)
    for entry in codes.explode().dropna():
        code, _, count = str(entry).partition("=")
        counts[code] += int(count or 1)
    return dict(sorted(counts.items()))


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {code}" for code, count in counts.items())
