"""Quality check: merge ingest shards into one corpus, accept or quarantine each recording, and split the subjects."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from labram.corpus import copies, folds, splits, window_quality
from labram.corpus.catalogue import ACCEPTED, QUARANTINED, Corpus, Split
from labram.corpus.evidence import find_ties
from labram.corpus.rules import (
    GAPS_UNKNOWN,
    LOST,
    QualityRule,
    RuleResult,
    SuiteResult,
    check_rules,
    copy_rules,
    recording_rules,
)
from labram.corpus.spectra import unit_correction
from labram.errors import CorpusError
from labram.recipe import QualityRecipe, SplitRecipe
from labram.store.store import Store

QUALITY_FILE, SUMMARY_FILE, VALIDATION_FILE = "quality.json", "summary.json", "great_expectations.json"


@dataclass(frozen=True)
class Summary:
    """Counts of a corpus.

    Attributes:
        recordings: All recordings; equals `accepted` + `quarantined`.
        accepted: Accepted recordings.
        quarantined: Quarantined recordings.
        hours: Total duration of the accepted recordings.
        datasets: Recordings, accepted, quarantined, subjects and hours of each dataset.
        montages: Hours by number of channels.
        subjects: Subjects by dataset and split.
        reasons: Recordings by reason code.
        warnings: Recordings, or what the warning counts, by warning code.
        labels: Labelled intervals by task and split.
        windows: Seconds by split, and those that no window has because of `max_window_uv`.
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
    windows: Mapping[str, Mapping[str, int]]

    def to_json(self) -> str:
        """Return the counts as JSON."""
        return json.dumps(asdict(self), sort_keys=True, indent=1)


def check_quality(
    shards: Sequence[Path],
    out: Path,
    quality: QualityRecipe,
    split: SplitRecipe | Split,
    *,
    store: Store,
    seed: int = 0,
    tasks: Mapping[str, str] | None = None,
) -> Summary:
    """Merge the shards of an ingest into one quality-checked corpus.

    Writes `catalogue.parquet`, `labels.parquet`, `quality.json` (each rule and the recordings that broke it),
    `summary.json`, and Great Expectations' results as `great_expectations.json`.

    Args:
        shards: Folders written by `labram.corpus.ingest.ingest`.
        out: Folder for the corpus.
        quality: Thresholds.
        split: Shares of validation and test subjects, or one split for all recordings.
        store: Store with the patches and amplitudes of the recordings.
        seed: Seed of the split.
        tasks: Tasks that must have labels in each split, with the dataset that must have them.

    Returns:
        Counts.

    Raises:
        StoreError: If the store lacks the amplitudes of a recording, or the patches of recordings of equal signal hash.
        CorpusError: If no recording is accepted.
        LabelError: If a task has no labels to train or evaluate on.
    """
    corpus = Corpus.merged(Corpus.load(shard) for shard in shards)
    corpus = with_derived_columns(corpus, quality)
    corpus = window_quality.with_window_columns(corpus, quality, store)
    corpus, recordings = _with_verdicts(corpus, recording_rules(quality), rule_metrics(corpus, quality))
    corpus = Corpus(copies.distinguish(corpus.catalogue, store), corpus.labels)
    corpus = _with_copies(corpus)
    corpus, copied = _with_verdicts(corpus, copy_rules(), _copy_metrics(corpus))
    corpus = window_quality.with_window_warnings(corpus)
    corpus = _divided(_with_ties(corpus), split, seed, set((tasks or {}).values()))
    summary = summarise(corpus)
    corpus.save(out)
    (out / SUMMARY_FILE).write_text(summary.to_json(), encoding="utf-8")
    (out / QUALITY_FILE).write_text(_rules_json((*recordings.outcomes, *copied.outcomes)), encoding="utf-8")
    (out / VALIDATION_FILE).write_text(
        json.dumps({"recordings": recordings.validation, "copies": copied.validation}), encoding="utf-8"
    )
    if not summary.accepted:
        raise CorpusError(
            f"none of {summary.recordings} recordings can be used ({_counted(summary.reasons)})",
            remedy="See the reason codes in docs/quality.md, and the thresholds in the recipe's section quality",
        )
    for task, dataset in (tasks or {}).items():
        splits.require_labels(corpus, task, dataset, split)
        if isinstance(split, SplitRecipe):
            splits.require_common_channels(corpus, task, dataset)
        if corpus.protocol(dataset):
            folds.require_folds(corpus, task, dataset)
    return summary


def _divided(corpus: Corpus, split: SplitRecipe | Split, seed: int, datasets: Collection[str]) -> Corpus:
    """Return the corpus with the column `split` filled in, and `folds` under a cross-validation."""
    if not isinstance(split, SplitRecipe):
        return splits.apply_splits(corpus, dict.fromkeys(corpus.accepted()["subject_key"], split))
    if split.cross_validated:
        return folds.cross_validated(corpus, split, seed, datasets)
    return splits.apply_splits(corpus, splits.assign_splits(corpus, split, seed))


def summarise(corpus: Corpus) -> Summary:
    """Count the contents of a quality-checked corpus."""
    rows, accepted, quarantined = corpus.catalogue, corpus.accepted(), corpus.quarantined()
    assert len(rows) == len(accepted) + len(quarantined), "in = accepted + quarantined"
    labels = corpus.labels.merge(accepted[["recording_id", "split"]], on="recording_id")
    return Summary(
        recordings=len(rows),
        accepted=len(accepted),
        quarantined=len(quarantined),
        hours=_hours(accepted),
        datasets={str(name): _dataset_counts(part) for name, part in rows.groupby("dataset")},
        montages={str(channels): _hours(part) for channels, part in accepted.groupby(accepted["montage"].map(len))},
        subjects=_nested(accepted.drop_duplicates("subject_key"), "dataset"),
        reasons=_tally(quarantined["reasons"]),
        warnings=_tally(rows["warnings"]),
        labels=_nested(labels, "task"),
        windows=window_quality.count_excluded(accepted),
    )


def with_derived_columns(corpus: Corpus, quality: QualityRecipe) -> Corpus:
    """Fill in what metrics and thresholds determine: bad channels, and the factor by which a unit is wrong."""
    rows = corpus.catalogue.copy()
    read = rows["store_key"] != ""
    rows["unit_correction"] = [unit_correction(rms, quality.typical_rms_uv) for rms in _eeg_rms(rows, quality)]
    masks = [window_quality.bad_channels(row, quality) for row in rows.to_dict("records")]
    for kind, name in enumerate(("flat_channels", "saturated_channels", "bad_channels")):
        counts = [int(mask[kind].sum()) for mask in masks]
        rows[name] = pd.Series(counts, index=rows.index, dtype="Int32").where(read)
    channels = rows["montage"].map(len).clip(lower=1)
    for name in ("flat", "bad"):
        rows[f"{name}_fraction"] = (rows[f"{name}_channels"] / channels).astype("Float64").where(read)
    return Corpus(rows, corpus.labels)


def _eeg_rms(rows: pd.DataFrame, quality: QualityRecipe) -> "pd.Series[float]":
    """Return amplitudes, without those of noise: the noise of an open input is small whatever its unit."""
    return rows["band_rms_uv"].mask(rows["psd_slope"] > quality.max_psd_slope)


def _with_verdicts(corpus: Corpus, suite: Sequence[QualityRule], metrics: pd.DataFrame) -> tuple[Corpus, SuiteResult]:
    """Add the reasons, warnings and verdicts of one suite."""
    rows = corpus.catalogue.copy()
    result = check_rules(metrics, suite)
    codes: dict[str, dict[str, list[str]]] = {"critical": defaultdict(list), "warning": defaultdict(list)}
    for outcome in result.outcomes:
        for recording in outcome.recordings:
            listed = codes[outcome.rule.severity][recording]
            if outcome.rule.code not in listed:
                listed.append(str(outcome.rule.code))
    for column, severity in (("reasons", "critical"), ("warnings", "warning")):
        added = codes[severity]
        rows[column] = [
            [*present, *added.get(recording, ())]
            for recording, present in zip(rows["recording_id"], rows[column], strict=True)
        ]
    rows["verdict"] = np.where(rows["reasons"].map(len) > 0, QUARANTINED, ACCEPTED)
    return Corpus(rows, corpus.labels), result


def rule_metrics(corpus: Corpus, quality: QualityRecipe) -> pd.DataFrame:
    """Return the columns that the rules check, for the recordings that could be read."""
    rows = corpus.accepted()
    scalar = [name for name in rows.columns if not rows[name].map(lambda value: isinstance(value, list)).any()]
    channels, lost = rows["montage"].map(len), rows["warnings"].map(count_lost)
    return rows[scalar].assign(
        channels=channels,
        lost_fraction=lost / (lost + channels).clip(lower=1),
        band_rms_uv=_eeg_rms(rows, quality),
        **{GAPS_UNKNOWN: rows["warnings"].map(lambda codes: GAPS_UNKNOWN in codes).astype(bool)},
    )


def count_lost(warnings: Sequence[str]) -> int:
    """Return the lost channels of a recording, from its warnings."""
    return next((int(count) for code, _, count in (text.partition("=") for text in warnings) if code == LOST), 0)


def _with_copies(corpus: Corpus) -> Corpus:
    """Find recordings of equal content or signal: one is kept, preferably with labels, the others are its copies.

    Of several with labels the labels decide, because a part of each id depends on the subject key.
    """
    rows = corpus.catalogue.copy()
    texts: dict[str, str] = defaultdict(str)
    for label in corpus.labels.sort_values(["recording_id", "task", "start"]).to_dict("records"):
        texts[label["recording_id"]] += f"{label['task']} {label['start']} {label['seconds']} {label['label']};"
    labels = rows["recording_id"].map(lambda recording: texts.get(recording, ""))
    ranked = rows.assign(labels=labels, unlabelled=labels == "")[rows["verdict"] == ACCEPTED]
    ordered = ranked.sort_values(["unlabelled", "labels", "recording_id"])
    originals: dict[str, str] = {}
    for column in ("content_hash", "signal_hash"):
        known = ordered[ordered[column].fillna("") != ""]
        first = known.groupby(column, sort=False)["recording_id"].transform("first")
        pairs = zip(known["recording_id"], first, strict=True)
        originals |= {copy: original for copy, original in pairs if copy != original}
    rows["copy_of"] = [originals.get(recording, "") for recording in rows["recording_id"]]
    return Corpus(rows, corpus.labels)


def _with_ties(corpus: Corpus) -> Corpus:
    """Add the warnings of evidence that recordings of two subjects are of one person."""
    rows = corpus.catalogue.copy()
    codes: dict[str, list[str]] = defaultdict(list)
    for tie in find_ties(rows[rows["verdict"] == ACCEPTED]):
        for recording in tie.recordings:
            codes[recording].append(tie.code)
    rows["warnings"] = [
        list(dict.fromkeys([*present, *codes.get(recording, ())]))
        for recording, present in zip(rows["recording_id"], rows["warnings"], strict=True)
    ]
    return Corpus(rows, corpus.labels)


def _copy_metrics(corpus: Corpus) -> pd.DataFrame:
    """Return the columns that `copy_rules` check, for accepted recordings."""
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


def _rules_json(outcomes: Sequence[RuleResult]) -> str:
    entries = [
        {**asdict(outcome.rule), "failed": len(outcome.recordings), "recordings": list(outcome.recordings)}
        for outcome in outcomes
    ]
    return json.dumps(entries, indent=1, sort_keys=True)


def _dataset_counts(rows: pd.DataFrame) -> dict[str, float]:
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
    """Count recordings by code; codes with a count of their own (`code=3`) are summed."""
    counts: dict[str, int] = defaultdict(int)
    for entry in codes.explode().dropna():
        code, _, count = str(entry).partition("=")
        counts[code] += int(count or 1)
    return dict(sorted(counts.items()))


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {code}" for code, count in counts.items())
