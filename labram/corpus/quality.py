"""The verdict: shards become one corpus, each recording is accepted or quarantined, and subjects get their split."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from labram.corpus import splits
from labram.corpus.catalogue import ACCEPTED, QUARANTINED, SPLITS, Corpus, Split
from labram.corpus.rules import Outcome, check, rules
from labram.errors import CorpusError, LabelError, Reason
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


def judge(
    shards: Sequence[Path],
    out: Path,
    quality: QualityRecipe,
    split: SplitRecipe | Split,
    *,
    seed: int = 0,
    tasks: Mapping[str, str] | None = None,
) -> Summary:
    """Make one judged corpus of the shards of an ingest.

    Writes `catalogue.parquet`, `labels.parquet`, `quality.json` (each rule and who broke it) and `summary.json`.

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
    corpus, outcomes = _judged(_with_fractions(corpus, quality), quality)
    corpus = _without_copies(corpus)
    corpus = splits.apply(corpus, _splits(corpus, split, seed))
    summary = summarise(corpus)
    corpus.save(out)
    (out / SUMMARY_FILE).write_text(summary.to_json())
    (out / QUALITY_FILE).write_text(_report(outcomes))
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


def _with_fractions(corpus: Corpus, quality: QualityRecipe) -> Corpus:
    """Count flat and bad channels, which depend on the recipe's thresholds."""
    rows = corpus.catalogue.copy()
    read = rows["store_key"] != ""
    spreads = [np.asarray(sd if sd is not None else [], dtype=np.float64) for sd in rows["sd_uv"]]
    channels = np.maximum(1, [len(sd) for sd in spreads])
    for kind, counts in (
        ("flat", [int((sd < quality.flat_sd_uv).sum()) for sd in spreads]),
        ("bad", [int((sd > quality.max_channel_sd_uv).sum()) for sd in spreads]),
    ):
        rows[f"{kind}_channels"] = pd.Series(counts, index=rows.index, dtype="Int32").where(read)
        rows[f"{kind}_fraction"] = pd.Series(np.asarray(counts) / channels, index=rows.index).where(read)
    return Corpus(rows, corpus.labels)


def _judged(corpus: Corpus, quality: QualityRecipe) -> tuple[Corpus, list[Outcome]]:
    rows = corpus.catalogue.copy()
    read = rows[rows["verdict"] == ACCEPTED]
    figures = read.drop(columns=["montage", "sd_uv", "reasons", "warnings"])
    outcomes = check(figures.assign(channels=read["montage"].map(len)), rules(quality))
    codes: dict[str, dict[str, list[str]]] = {"critical": defaultdict(list), "warning": defaultdict(list)}
    for outcome in outcomes:
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
    return Corpus(rows, corpus.labels), outcomes


def _without_copies(corpus: Corpus) -> Corpus:
    """Of recordings that are equal byte for byte one stays: one with labels rather than one without."""
    rows = corpus.catalogue.copy()
    labelled = rows["recording_id"].isin(set(corpus.labels["recording_id"]))
    ordered = rows.assign(unlabelled=~labelled)[rows["verdict"] == ACCEPTED].sort_values(["unlabelled", "recording_id"])
    copies = set(ordered["recording_id"][ordered["content_hash"].duplicated(keep="first")])
    copied = rows["recording_id"].isin(copies)
    rows["reasons"] = [
        [Reason.DUPLICATE_CONTENT.value] if copy else reasons
        for copy, reasons in zip(copied, rows["reasons"], strict=True)
    ]
    rows["verdict"] = rows["verdict"].mask(copied, QUARANTINED)
    return Corpus(rows, corpus.labels)


def _splits(corpus: Corpus, split: SplitRecipe | Split, seed: int) -> Mapping[str, Split]:
    if isinstance(split, SplitRecipe):
        return splits.assign(corpus, split, seed)
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
