import json
from collections.abc import Callable, Mapping, Sequence
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
    def run(
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
        Corpus.of(rows[:half], intervals).save(tmp_path / "a")
        Corpus.of(rows[half:], []).save(tmp_path / "b")
        shards, store = [tmp_path / "a", tmp_path / "b"], Store(tmp_path / "store")
        for each in rows:
            seconds = each["seconds"] if isinstance(each["seconds"], int) else 0
            peaks = np.full((seconds, len(each["montage"])), 50.0, np.float16)
            for second, channel, value in (loud or {}).get(each["recording_id"], ()):
                peaks[second, channel] = value
            store.put_array(each["store_key"], PEAKS, peaks.view(np.uint16))
            if sum(other["signal_hash"] == each["signal_hash"] for other in rows) > 1:
                store.write(each["store_key"], np.ones((1, 10, 200), np.float16), CANONICAL[:10])
        quality, split = settings.pop("quality", QualityRecipe()), settings.pop("split", SplitRecipe())
        summary = check_quality(shards, tmp_path / "out", quality, split, store=store, **settings)
        return summary, Corpus.load(tmp_path / "out")

    return run


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ({"seconds": 0}, Reason.TOO_SHORT),
        ({"montage": ["CZ"]}, Reason.NO_CANONICAL_CHANNELS),
        ({"rate_hz": 10.0}, Reason.LOW_RATE),
        ({"channel_sd_uv": [20.0] * 4 + [0.0] * 6, "median_sd_uv": 0.0}, Reason.FLAT),
        ({"channel_flat_fraction": [0.0] * 4 + [0.6] * 6}, Reason.FLAT),
        ({"band_rms_uv": 0.01, "channel_sd_uv": [0.02] * 10, "median_sd_uv": 0.02}, Reason.IMPLAUSIBLE_UNIT),
        ({"band_rms_uv": 6000.0}, Reason.IMPLAUSIBLE_UNIT),
        ({"channel_sd_uv": [20.0] * 6 + [300.0] * 4}, Reason.EXCESSIVE_AMPLITUDE),
        ({"channel_saturated_fraction": [0.0] * 6 + [0.1] * 4}, Reason.EXCESSIVE_AMPLITUDE),
        ({"median_sd_uv": 230.0}, Reason.EXCESSIVE_AMPLITUDE),
        ({"gap_seconds": 12.0}, Reason.GAPS),
        ({"psd_slope": 0.0}, Reason.NOT_EEG),
        ({"psd_slope": -8.0}, Reason.NOT_EEG),
        ({"spectral_flatness": 0.001}, Reason.NOT_EEG),
        ({"held_fraction": 0.63}, Reason.NOT_EEG),
        ({"channel_correlation": 1.0}, Reason.NOT_EEG),
    ],
)
def test_a_broken_critical_rule_sends_to_the_quarantine(
    judged: Judge, figures: dict[str, object], reason: Reason
) -> None:
    summary, corpus = judged([row(1), row(2, **figures), row(3)])
    assert summary.reasons == {reason.value: 1}
    assert (summary.recordings, summary.accepted, summary.quarantined) == (3, 2, 1)
    assert corpus.quarantined()["recording_id"].tolist() == ["set-0002"]
    assert corpus.quarantined()["reasons"].tolist() == [[reason.value]]


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("seconds", Reason.TOO_SHORT),
        ("rate_hz", Reason.LOW_RATE),
        ("channel_flat_fraction", Reason.FLAT),
        ("band_rms_uv", Reason.IMPLAUSIBLE_UNIT),
        ("median_sd_uv", Reason.EXCESSIVE_AMPLITUDE),
        ("channel_sd_uv", Reason.EXCESSIVE_AMPLITUDE),
        ("gap_seconds", Reason.GAPS),
        ("psd_slope", Reason.NOT_EEG),
        ("spectral_flatness", Reason.NOT_EEG),
        ("held_fraction", Reason.NOT_EEG),
        ("channel_correlation", Reason.NOT_EEG),
    ],
)
@pytest.mark.parametrize("undefined", [None, float("nan")])
def test_a_critical_rule_without_its_metric_quarantines(
    judged: Judge, metric: str, reason: Reason, undefined: float | None
) -> None:
    value = [undefined] * 10 if isinstance(FIGURES.get(metric), list) else undefined
    summary, corpus = judged([row(1), row(2, **{metric: None if metric == "seconds" else value}), row(3)])
    assert summary.reasons == {reason.value: 1}
    assert corpus.quarantined()["recording_id"].tolist() == ["set-0002"]


def test_unknown_gaps_are_a_warning_and_no_reason(judged: Judge) -> None:
    _, corpus = judged([row(1, gap_seconds=None, warnings=["gaps_unknown"]), row(2, gap_seconds=None)], split="test")
    assert corpus.accepted()["warnings"].tolist() == [["gaps_unknown"]]
    assert corpus.quarantined()["reasons"].tolist() == [[Reason.GAPS.value]]


def test_metrics_of_each_channel_that_are_absent_altogether_quarantine(judged: Judge) -> None:
    lists = dict.fromkeys(("channel_sd_uv", "channel_flat_fraction", "channel_saturated_fraction"))
    _, corpus = judged([row(1), row(2, **lists), row(3)])
    assert corpus.quarantined()["reasons"].tolist() == [["flat", "excessive_amplitude"]]


def test_the_legitimate_cases_of_an_undefined_metric(judged: Judge) -> None:
    """Two channels have no correlation. A flat recording has no spectrum: it is flat, and nothing else is said."""
    pair = {name: value[:2] for name, value in FIGURES.items() if isinstance(value, list)}
    two_channels = row(2, montage=["E1", "E2"], channel_correlation=None, **pair)
    spectra = dict.fromkeys(("psd_slope", "spectral_flatness", "held_fraction", "channel_correlation", "band_rms_uv"))
    flat = row(3, channel_flat_fraction=[1.0] * 10, **spectra)
    _, corpus = judged([row(1), two_channels, flat])
    assert corpus.accepted()["recording_id"].tolist() == ["set-0001", "set-0002"]
    assert corpus.quarantined()["reasons"].tolist() == [["flat"]]


def test_a_few_channels_without_metrics_count_as_bad_and_not_as_good(judged: Judge) -> None:
    _, corpus = judged([row(1), row(2, channel_sd_uv=[20.0] * 8 + [float("nan")] * 2)])
    assert corpus.accepted()["bad_channels"].tolist() == [0, 2]


@pytest.mark.parametrize(
    ("figures", "warning"),
    [
        ({"line_noise_ratio": 2.0}, "line_noise"),
        ({"psd_slope": -0.4}, "flat_spectrum"),
        ({"dead_seconds": 5}, "dropouts"),
        ({"channel_saturated_fraction": [0.0] * 9 + [0.1]}, "saturated"),
        ({"clipped_samples": 7}, "clipped"),
    ],
)
def test_a_warning_is_kept_and_counted(judged: Judge, figures: dict[str, object], warning: str) -> None:
    summary, corpus = judged([row(1), row(2, warnings=["missing_label"], **figures)])
    assert summary.quarantined == 0
    besides = {"interpolated_channels": 1} if warning == "saturated" else {}
    assert summary.warnings == {"missing_label": 1, warning: 1, **besides}
    codes = ["missing_label", warning, *(f"{code}={count}" for code, count in besides.items())]
    assert corpus.accepted()["warnings"].tolist() == [[], codes]


@pytest.mark.parametrize(
    ("rms_uv", "correction"),
    [(10_000.0, 1e-3), (400.0, 1e-3), (250.0, 1.0), (1.0, 1.0), (0.4, 1.0), (0.2, 1e3), (0.01, 1e3), (1e-5, 1e6)],
)
def test_a_wrong_unit_comes_with_the_factor_that_mends_it(judged: Judge, rms_uv: float, correction: float) -> None:
    _, corpus = judged([row(1), row(2, band_rms_uv=rms_uv)])
    found = corpus.catalogue.set_index("recording_id").loc["set-0002"]
    assert found["unit_correction"] == pytest.approx(correction)
    assert ("implausible_unit" in found["reasons"]) == (correction != 1.0)


def test_an_open_input_is_flat_and_not_of_a_wrong_unit(judged: Judge) -> None:
    noise = {"band_rms_uv": 0.02, "channel_sd_uv": [0.02] * 10, "median_sd_uv": 0.02, "psd_slope": 0.0}
    _, corpus = judged([row(1), row(2, **noise)])
    refused = corpus.quarantined()
    assert refused["reasons"].tolist() == [["flat", "not_eeg"]]
    assert refused["unit_correction"].tolist() == [1.0]


def test_what_was_refused_before_stays_refused_without_figures(judged: Judge) -> None:
    none = dict.fromkeys(FIGURES)
    refused = row(2, verdict="quarantined", reasons=["damaged"], store_key="", montage=[], seconds=0, **none)
    summary, corpus = judged([row(1), refused])
    assert summary.reasons == {"damaged": 1}
    assert np.isnan(corpus.quarantined()["flat_fraction"][0])


def test_counts_in_warnings_are_added_up(judged: Judge) -> None:
    summary, _ = judged([row(1, warnings=["excluded_x=3"]), row(2, warnings=["excluded_x=4"])])
    assert summary.warnings == {"excluded_x": 7}


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
        judged([row(n) for n in range(5)], labels=(1, 2, 3), tasks={"task": "set", "workload": "eegmat"})


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
