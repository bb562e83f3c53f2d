import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labram.corpus.catalogue import Corpus
from labram.corpus.process_recording import PEAKS
from labram.corpus.quality import Summary, check_quality
from labram.corpus.rules import copy_rules, recording_rules
from labram.errors import CorpusError, LabelError, Reason, StoreError
from labram.recipe import QualityRecipe, SplitRecipe
from labram.signals.electrodes import CANONICAL
from labram.store.store import Store

FIGURES = {
    "rate_hz": 256.0,
    "channel_sd_uv": [20.0] * 10,
    "channel_flat_fraction": [0.0] * 10,
    "channel_saturated_fraction": [0.0] * 10,
    "median_sd_uv": 20.0,
    "band_rms_uv": 10.0,
    "held_fraction": 0.02,
    "dead_seconds": 0,
    "spectral_flatness": 0.8,
    "channel_correlation": 0.5,
    "clipped_samples": 0,
    "line_noise_ratio": 0.01,
    "psd_slope": -1.4,
    "gap_seconds": 0.0,
}
Judge = Callable[..., tuple[Summary, Corpus]]


def row(number: int, **columns: Any) -> dict[str, Any]:
    channels = len(columns.get("montage", range(10)))
    return {
        "recording_id": f"set-{number:04d}",
        "dataset": "set",
        "subject_key": f"set-s{number}",
        "content_hash": f"{number:064x}",
        "signal_hash": f"{number:064x}",
        "store_key": f"{number:032x}",
        "montage": [f"E{n}" for n in range(10)],
        "seconds": 60,
        "verdict": "accepted",
        "reasons": [],
        "warnings": [],
        **{name: value[:channels] if isinstance(value, list) else value for name, value in FIGURES.items()},
        **columns,
    }


@pytest.fixture
def judged(tmp_path: Path) -> Judge:
    return partial(judge, tmp_path)


def judge(
    folder: Path,
    rows: list[dict[str, Any]],
    labels: Mapping[int, float] | tuple[int, ...] = (),
    loud: Mapping[str, Sequence[tuple[int, int, float]]] | None = None,
    **settings: Any,
) -> tuple[Summary, Corpus]:
    values = labels if isinstance(labels, Mapping) else dict.fromkeys(labels, 1.0)
    intervals = [
        {"recording_id": f"set-{n:04d}", "task": "task", "start": 0.0, "seconds": 4.0, "label": [value]}
        for n, value in values.items()
    ]
    half = len(rows) // 2
    Corpus.of(rows[:half], intervals).save(folder / "a")
    Corpus.of(rows[half:], []).save(folder / "b")
    shards, store = [folder / "a", folder / "b"], Store(folder / "store")
    for each in rows:
        seconds = each["seconds"] if isinstance(each["seconds"], int) else 0
        peaks = np.full((seconds, len(each["montage"])), 50.0, np.float16)
        for second, channel, value in (loud or {}).get(each["recording_id"], ()):
            peaks[second, channel] = value
        store.put_array(each["store_key"], PEAKS, peaks.view(np.uint16))
        if sum(other["signal_hash"] == each["signal_hash"] for other in rows) > 1:
            store.write(each["store_key"], np.ones((1, 10, 200), np.float16), CANONICAL[:10])
    quality, split = settings.pop("quality", QualityRecipe()), settings.pop("split", SplitRecipe())
    summary = check_quality(shards, folder / "out", quality, split, store=store, **settings)
    return summary, Corpus.load(folder / "out")


BROKEN: dict[str, tuple[dict[str, Any], Reason]] = {
    "short": ({"seconds": 0}, Reason.TOO_SHORT),
    "one channel": ({"montage": ["CZ"]}, Reason.NO_CANONICAL_CHANNELS),
    "slow": ({"rate_hz": 10.0}, Reason.LOW_RATE),
    "sd 0": ({"channel_sd_uv": [20.0] * 4 + [0.0] * 6, "median_sd_uv": 0.0}, Reason.FLAT),
    "flat channels": ({"channel_flat_fraction": [0.0] * 4 + [0.6] * 6}, Reason.FLAT),
    "nV": ({"band_rms_uv": 0.01, "channel_sd_uv": [0.02] * 10, "median_sd_uv": 0.02}, Reason.IMPLAUSIBLE_UNIT),
    "mV": ({"band_rms_uv": 6000.0}, Reason.IMPLAUSIBLE_UNIT),
    "loud channels": ({"channel_sd_uv": [20.0] * 6 + [300.0] * 4}, Reason.EXCESSIVE_AMPLITUDE),
    "saturated channels": ({"channel_saturated_fraction": [0.0] * 6 + [0.1] * 4}, Reason.EXCESSIVE_AMPLITUDE),
    "loud": ({"median_sd_uv": 230.0}, Reason.EXCESSIVE_AMPLITUDE),
    "gaps": ({"gap_seconds": 12.0}, Reason.GAPS),
    "white": ({"psd_slope": 0.0}, Reason.NOT_EEG),
    "steep": ({"psd_slope": -8.0}, Reason.NOT_EEG),
    "tone": ({"spectral_flatness": 0.001}, Reason.NOT_EEG),
    "held": ({"held_fraction": 0.63}, Reason.NOT_EEG),
    "equal channels": ({"channel_correlation": 1.0}, Reason.NOT_EEG),
}
METRICS = {
    "seconds": Reason.TOO_SHORT,
    "rate_hz": Reason.LOW_RATE,
    "channel_flat_fraction": Reason.FLAT,
    "band_rms_uv": Reason.IMPLAUSIBLE_UNIT,
    "median_sd_uv": Reason.EXCESSIVE_AMPLITUDE,
    "channel_sd_uv": Reason.EXCESSIVE_AMPLITUDE,
    "gap_seconds": Reason.GAPS,
    "psd_slope": Reason.NOT_EEG,
    "spectral_flatness": Reason.NOT_EEG,
    "held_fraction": Reason.NOT_EEG,
    "channel_correlation": Reason.NOT_EEG,
}
UNDEFINED = {
    f"{metric}: {value}": (
        {metric: None if metric == "seconds" else [value] * 10 if isinstance(FIGURES.get(metric), list) else value},
        reason,
    )
    for metric, reason in METRICS.items()
    for value in (None, float("nan"))
}
WARNED: dict[str, dict[str, Any]] = {
    "line_noise": {"line_noise_ratio": 2.0},
    "flat_spectrum": {"psd_slope": -0.4},
    "dropouts": {"dead_seconds": 5},
    "saturated": {"channel_saturated_fraction": [0.0] * 9 + [0.1]},
    "clipped": {"clipped_samples": 7},
}
CORRECTIONS = {
    10_000.0: 1e-3, 400.0: 1e-3, 250.0: 1.0, 1.0: 1.0, 0.4: 1.0, 0.2: 1e3, 0.01: 1e3, 1e-5: 1e6
}  # fmt: skip
NO_LISTS = dict.fromkeys(("channel_sd_uv", "channel_flat_fraction", "channel_saturated_fraction"))
PAIR = {name: value[:2] for name, value in FIGURES.items() if isinstance(value, list)}
NO_SPECTRA = dict.fromkeys(("psd_slope", "spectral_flatness", "held_fraction", "channel_correlation", "band_rms_uv"))
OPEN_INPUT = {"band_rms_uv": 0.02, "channel_sd_uv": [0.02] * 10, "median_sd_uv": 0.02, "psd_slope": 0.0}
REFUSED = {"verdict": "quarantined", "reasons": ["damaged"], "store_key": "", "montage": [], "seconds": 0}
CASES: dict[str, dict[str, Any]] = {
    "good": {},
    **{name: figures for name, (figures, _) in {**BROKEN, **UNDEFINED}.items()},
    **{name: {"warnings": ["missing_label"], **figures} for name, figures in WARNED.items()},
    **{f"{rms} µV": {"band_rms_uv": rms} for rms in CORRECTIONS},
    "no lists": NO_LISTS,
    "two channels": {"montage": ["E1", "E2"], "channel_correlation": None, **PAIR},
    "flat": {"channel_flat_fraction": [1.0] * 10, **NO_SPECTRA},
    "two undefined channels": {"channel_sd_uv": [20.0] * 8 + [float("nan")] * 2},
    "open input": OPEN_INPUT,
    "refused before": {**dict.fromkeys(FIGURES), **REFUSED},
    "three excluded": {"warnings": ["excluded_x=3"]},
    "four excluded": {"warnings": ["excluded_x=4"]},
}
"""Recordings that are judged by themselves: all of them are judged at once."""


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, Corpus]:
    rows = [row(number, **figures) for number, figures in enumerate(CASES.values())]
    return judge(tmp_path_factory.mktemp("cases"), rows)


@pytest.fixture(scope="module")
def verdict_of(together: tuple[Summary, Corpus]) -> Callable[[str], Any]:
    """Gives a function that gives the row of a case."""
    catalogue = together[1].catalogue.set_index("recording_id")
    numbers = {name: number for number, name in enumerate(CASES)}
    return lambda name: catalogue.loc[f"set-{numbers[name]:04d}"]


def count_codes(lists: Iterable[Sequence[str]]) -> Counter[str]:
    """Count codes, or add up what they count."""
    counts: Counter[str] = Counter()
    for code, _, count in (text.partition("=") for codes in lists for text in codes):
        counts[code] += int(count or 1)
    return counts


def test_the_counts_are_those_of_the_rows(together: tuple[Summary, Corpus]) -> None:
    summary, corpus = together
    assert summary.recordings == len(CASES)
    assert (summary.accepted, summary.quarantined) == (len(corpus.accepted()), len(corpus.quarantined()))
    assert summary.reasons == count_codes(corpus.quarantined()["reasons"])
    expected = Counter(reason.value for _, reason in (*BROKEN.values(), *UNDEFINED.values()))
    expected.update(["damaged", "flat", "flat", "not_eeg", "flat", "excessive_amplitude"])
    expected["implausible_unit"] += sum(correction != 1.0 for correction in CORRECTIONS.values())
    assert summary.reasons == expected
    assert summary.warnings == count_codes(corpus.catalogue["warnings"])
    assert count_codes(corpus.accepted()["warnings"]) == {
        "missing_label": len(WARNED), "excluded_x": 7, "interpolated_channels": 3, **dict.fromkeys(WARNED, 1)
    }  # fmt: skip


@pytest.mark.parametrize("case", [*BROKEN, *UNDEFINED])
def test_a_critical_rule_that_is_broken_or_without_its_metric_quarantines(
    verdict_of: Callable[[str], Any], case: str
) -> None:
    assert verdict_of("good")["verdict"] == "accepted"
    assert verdict_of(case)["verdict"] == "quarantined"
    assert verdict_of(case)["reasons"] == [({**BROKEN, **UNDEFINED})[case][1].value]


def test_unknown_gaps_are_a_warning_and_no_reason(judged: Judge) -> None:
    _, corpus = judged([row(1, gap_seconds=None, warnings=["gaps_unknown"]), row(2, gap_seconds=None)], split="test")
    assert corpus.accepted()["warnings"].tolist() == [["gaps_unknown"]]
    assert corpus.quarantined()["reasons"].tolist() == [[Reason.GAPS.value]]


def test_metrics_of_each_channel_that_are_absent_altogether_quarantine(verdict_of: Callable[[str], Any]) -> None:
    assert verdict_of("no lists")["reasons"] == ["flat", "excessive_amplitude"]


def test_the_legitimate_cases_of_an_undefined_metric(verdict_of: Callable[[str], Any]) -> None:
    """Two channels have no correlation. A flat recording has no spectrum: it is flat, and nothing else is said."""
    assert verdict_of("two channels")["verdict"] == "accepted"
    assert verdict_of("flat")["reasons"] == ["flat"]


def test_a_few_channels_without_metrics_count_as_bad_and_not_as_good(verdict_of: Callable[[str], Any]) -> None:
    assert verdict_of("two undefined channels")["verdict"] == "accepted"
    assert [verdict_of(name)["bad_channels"] for name in ("good", "two undefined channels")] == [0, 2]


@pytest.mark.parametrize("warning", WARNED)
def test_a_warning_is_kept(verdict_of: Callable[[str], Any], warning: str) -> None:
    besides = ["interpolated_channels=1"] if warning == "saturated" else []
    assert verdict_of(warning)["verdict"] == "accepted"
    assert verdict_of(warning)["warnings"] == ["missing_label", warning, *besides]
    assert verdict_of("good")["warnings"] == []


@pytest.mark.parametrize(("rms_uv", "correction"), CORRECTIONS.items())
def test_a_wrong_unit_comes_with_the_factor_that_mends_it(
    verdict_of: Callable[[str], Any], rms_uv: float, correction: float
) -> None:
    found = verdict_of(f"{rms_uv} µV")
    assert found["unit_correction"] == pytest.approx(correction)
    assert ("implausible_unit" in found["reasons"]) == (correction != 1.0)


def test_an_open_input_is_flat_and_not_of_a_wrong_unit(verdict_of: Callable[[str], Any]) -> None:
    assert verdict_of("open input")["reasons"] == ["flat", "not_eeg"]
    assert verdict_of("open input")["unit_correction"] == 1.0


def test_what_was_refused_before_stays_refused_without_figures(verdict_of: Callable[[str], Any]) -> None:
    assert verdict_of("refused before")["reasons"] == ["damaged"]
    assert np.isnan(verdict_of("refused before")["flat_fraction"])


def test_of_equal_recordings_the_labelled_one_stays(judged: Judge) -> None:
    rows = [row(1, content_hash="same"), row(2, content_hash="same"), row(3)]
    summary, corpus = judged(rows, labels=(2,))
    assert summary.reasons["duplicate_content"] == 1
    refused = corpus.quarantined()
    assert refused["recording_id"].tolist() == ["set-0001"]
    assert refused["copy_of"].tolist() == ["set-0002"]


@pytest.mark.parametrize(("labels", "kept"), [({1: 0.0, 2: 1.0}, 1), ({1: 1.0, 2: 0.0}, 2)])
def test_of_equal_recordings_with_labels_the_labels_decide(
    judged: Judge, labels: Mapping[int, float], kept: int
) -> None:
    _, corpus = judged([row(1, content_hash="same"), row(2, content_hash="same"), row(3)], labels=labels)
    assert corpus.quarantined()["copy_of"].tolist() == [f"set-{kept:04d}"]


def test_the_same_signal_in_other_bytes_is_a_copy(judged: Judge) -> None:
    rows = [row(1, signal_hash="same"), row(2, signal_hash="same", subject_key="set-s1"), row(3, signal_hash="")]
    summary, corpus = judged([*rows, row(4, signal_hash="")])
    assert summary.reasons == {"duplicate_content": 1}
    assert summary.warnings == {}
    assert corpus.quarantined()["copy_of"].tolist() == ["set-0001"]


def test_a_recording_of_two_subjects_is_a_leak_that_is_told_and_tied(judged: Judge) -> None:
    rows = [row(number) for number in range(1, 21)]
    rows[19] = row(20, signal_hash=rows[0]["signal_hash"])
    rows.append(row(21, subject_key="set-s20"))
    summary, corpus = judged(rows)
    assert summary.reasons == {"duplicate_content": 1, "duplicate_subject": 1}
    assert summary.warnings == {"shared_recording": 1}
    split = dict(zip(corpus.accepted()["subject_key"], corpus.accepted()["split"], strict=True))
    assert split["set-s20"] == split["set-s1"]


def test_a_copy_of_a_refused_recording_is_judged_by_itself(judged: Judge) -> None:
    rows = [row(1, signal_hash="same", gap_seconds=9.0), row(2, signal_hash="same"), row(3)]
    summary, corpus = judged(rows)
    assert summary.reasons == {"gaps": 1}
    assert "set-0002" in corpus.accepted()["recording_id"].tolist()


def test_the_results_name_each_rule_and_who_broke_it(judged: Judge, tmp_path: Path) -> None:
    judged([row(1), row(2, gap_seconds=5.0), row(3, line_noise_ratio=1.0)])
    report = json.loads((tmp_path / "out" / "quality.json").read_text())
    assert len(report) == len(recording_rules(QualityRecipe())) + len(copy_rules())
    failed = {entry["name"]: (entry["severity"], entry["recordings"]) for entry in report if entry["failed"]}
    assert failed == {
        "no gaps": ("critical", ["set-0002"]),
        "line noise": ("warning", ["set-0003"]),
    }
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["accepted"] == 2


def test_nothing_to_use_is_an_error_with_the_reasons_counted(judged: Judge) -> None:
    with pytest.raises(CorpusError, match=r"none of 2 recordings.*2 gaps"):
        judged([row(1, gap_seconds=5.0), row(2, gap_seconds=5.0)])


def test_a_task_without_labels_is_named_with_its_dataset(judged: Judge) -> None:
    with pytest.raises(LabelError, match=r"workload.*eegmat"):
        judged([row(n) for n in range(5)], labels=(1, 2, 3), tasks={"workload": "eegmat", "task": "set"})


def test_labels_of_quarantined_recordings_do_not_count(judged: Judge) -> None:
    with pytest.raises(LabelError, match="has no labels"):
        judged([row(1, gap_seconds=9.0), row(2)], labels=(1,), tasks={"task": "set"})


def test_too_few_labelled_subjects_to_hold_some_out_is_an_error(judged: Judge) -> None:
    with pytest.raises(LabelError, match="too few subjects"):
        judged([row(n) for n in range(8)], labels=(1, 2), tasks={"task": "set"})


def test_a_fixed_split_holds_for_everything(judged: Judge) -> None:
    summary, corpus = judged([row(1), row(2)], labels=(1,), split="test", tasks={"task": "set"})
    assert corpus.accepted()["split"].tolist() == ["test", "test"]
    assert summary.labels == {"task": {"test": 1}}


def test_seconds_of_absurd_amplitude_are_excluded_and_counted_by_recording_and_split(judged: Judge) -> None:
    loud = {"set-0001": [(3, 0, 2000.0), (5, 0, 2100.0), (5, 1, 9000.0), (59, 9, np.nan)]}
    summary, corpus = judged([row(1), row(2)], loud=loud, split="test")
    assert corpus.catalogue["excluded_seconds"].tolist() == [[5, 59], []]
    assert corpus.catalogue["excluded_fraction"].tolist() == pytest.approx([2 / 60, 0.0])
    assert corpus.catalogue["warnings"].tolist() == [["excluded_seconds=2"], []]
    assert summary.warnings == {"excluded_seconds": 2}
    assert summary.windows == {
        "test": {"recordings": 2, "seconds": 120, "excluded_seconds": 2, "recordings_with_excluded_seconds": 1}
    }


def test_a_recording_that_loses_too_many_seconds_is_quarantined(judged: Judge) -> None:
    loud = {"set-0001": [(second, 4, 3000.0) for second in range(31)]}
    _, corpus = judged([row(1), row(2)], loud=loud, split="test")
    assert corpus.quarantined()["reasons"].tolist() == [[Reason.EXCESSIVE_AMPLITUDE.value]]
    assert corpus.quarantined()["warnings"].tolist() == [[]]


def test_the_limit_of_a_window_is_a_setting(judged: Judge) -> None:
    settings = QualityRecipe(max_window_uv=40.0, max_excluded_fraction=0.99)
    loud = {"set-0001": [(second, channel, 30.0) for second in range(30) for channel in range(10)]}
    _, corpus = judged([row(1)], loud=loud, split="test", quality=settings)
    assert corpus.catalogue["excluded_seconds"].tolist() == [list(range(30, 60))]


def test_bad_and_flat_channels_are_interpolated_and_exclude_no_second(judged: Judge) -> None:
    bad = row(1, channel_sd_uv=[20.0] * 8 + [900.0, 0.01], montage=[f"E{n}" for n in range(10)])
    loud = {"set-0001": [(second, 8, 30_000.0) for second in range(60)]}
    summary, corpus = judged([bad], loud=loud, split="test")
    assert corpus.accepted()["interpolated_channels"].tolist() == [["E8", "E9"]]
    assert corpus.accepted()["excluded_seconds"].tolist() == [[]]
    assert summary.warnings == {"interpolated_channels": 2}


def test_bad_channels_that_are_kept_are_not_interpolated(judged: Judge) -> None:
    bad = row(1, channel_sd_uv=[20.0] * 9 + [900.0])
    _, corpus = judged([bad], split="test", quality=QualityRecipe(bad_channels="keep"))
    assert corpus.accepted()["interpolated_channels"].tolist() == [[]]


def test_amplitudes_that_the_store_lacks_are_an_error(tmp_path: Path) -> None:
    Corpus.of([row(1)], []).save(tmp_path / "shard")
    with pytest.raises(StoreError, match="lacks the amplitudes"):
        check_quality([tmp_path / "shard"], tmp_path / "out", QualityRecipe(), "test", store=Store(tmp_path / "store"))
