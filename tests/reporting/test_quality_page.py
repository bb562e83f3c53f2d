"""Quality report: verdicts, rules, distributions and quarantine in one self-contained file."""

import re
from pathlib import Path

import numpy as np
import pytest

from labram.corpus.catalogue import Corpus
from labram.corpus.process_recording import PEAKS
from labram.corpus.quality import check_quality
from labram.corpus.reasons import REASONS, WARNINGS, describe, explain
from labram.corpus.rules import copy_rules, recording_rules
from labram.errors import Reason
from labram.recipe import QualityRecipe, SplitRecipe
from labram.reporting import quality
from labram.reporting.run_report import RunRecord
from labram.store.store import Store

DOCS = Path(__file__).parents[2] / "docs" / "quality.md"
GOOD = {
    "rate_hz": 256.0,
    "seconds": 60,
    "median_sd_uv": 20.0,
    "band_rms_uv": 12.0,
    "held_fraction": 0.02,
    "dead_seconds": 0,
    "spectral_flatness": 0.8,
    "channel_correlation": 0.5,
    "clipped_samples": 0,
    "line_noise_ratio": 0.01,
    "psd_slope": -1.4,
    "gap_seconds": 0.0,
    "montage": ["C3", "CZ", "C4"],
    "channel_sd_uv": [20.0] * 3,
    "channel_flat_fraction": [0.0] * 3,
    "channel_saturated_fraction": [0.0] * 3,
}


def row(number: int, **columns: object) -> dict[str, object]:
    identity = {
        "recording_id": f"set-{number:04d}",
        "dataset": "set",
        "subject_key": f"set-s{number}",
        "format": "edf",
        "content_hash": f"{number:064x}",
        "signal_hash": f"{number:064x}",
        "store_key": f"{number:032x}",
    }
    return {**GOOD, **identity, "verdict": "accepted", "reasons": [], "warnings": [], **columns}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A judged corpus with something of every kind."""
    rows = [row(number) for number in range(1, 8)]
    rows[1] |= {"band_rms_uv": 0.012}
    rows[2] |= {"psd_slope": 0.01}
    rows[3] |= {"line_noise_ratio": 2.0}
    rows[4] |= {"signal_hash": rows[0]["signal_hash"]}
    unread = {"store_key": "", "montage": [], "seconds": 0, "verdict": "quarantined", "reasons": ["damaged"]}
    rows[5] = {name: value for name, value in rows[5].items() if name not in GOOD} | unread
    Corpus.of(rows, []).save(tmp_path / "shard")
    store = Store(tmp_path / "store")
    for each in rows:
        if each["store_key"]:
            peaks = np.full((60, 3), 50.0, np.float16)
            peaks[7:10] = 4000.0 if each["recording_id"] == "set-0007" else 50.0
            store.put_array(each["store_key"], PEAKS, peaks.view(np.uint16))
            store.write(each["store_key"], np.ones((1, 3, 200), np.float16), ("C3", "CZ", "C4"))
    check_quality([tmp_path / "shard"], tmp_path / "corpus", QualityRecipe(), SplitRecipe(), store=store)
    return tmp_path / "corpus"


def text_of(page: str) -> str:
    body = re.sub(r"<(style|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def test_the_page_says_what_was_found_and_what_to_do(corpus: Path, tmp_path: Path) -> None:
    text = text_of(quality.write(corpus, tmp_path / "quality.html").read_text())
    assert "7 recordings: 3 accepted, 3 of them with a warning; 4 quarantined." in text
    assert "4 recordings of 7 were quarantined" in text
    assert "set-0002 edf 60 implausible_unit multiply by 1000" in text
    assert re.search(r"set-0005 edf 60 duplicate_content, duplicate_subject copy of set-0001", text)
    assert "EEG spectrum psd_slope -5 to -0.3 not_eeg critical 1 set-0003" in text
    assert "line noise line_noise_ratio at most 0.5 line_noise warning 1 set-0004" in text
    assert explain("damaged").remedy in text
    assert re.search(r"set-0007 (train|validation|test) 60 3 5.00 0", text), "seconds beyond quality.max_window_uv"


def test_nothing_is_loaded_from_anywhere(corpus: Path, tmp_path: Path) -> None:
    text = quality.write(corpus, tmp_path / "quality.html").read_text()
    assert not re.search(r"""\b(src|srcset)\s*=\s*["']?(https?:)?//|@import|url\(\s*["']?https?:|<script""", text)
    assert all("data:," in link for link in re.findall(r"<link\b[^>]*>", text))


def test_the_same_corpus_gives_the_same_page(corpus: Path, tmp_path: Path) -> None:
    one, other = (quality.write(corpus, tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert one == other


def test_thresholds_are_drawn(corpus: Path, tmp_path: Path) -> None:
    page = quality.write(corpus, tmp_path / "quality.html").read_text()
    assert 'role="img"' in page
    assert "Aperiodic slope -1.4 to 0.01" in page


def test_a_corpus_of_which_nothing_could_be_read_has_a_page(tmp_path: Path) -> None:
    nothing = {"recording_id": "set-1", "dataset": "set", "montage": [], "store_key": "", "seconds": 0, "copy_of": ""}
    Corpus.of([{**nothing, "verdict": "quarantined", "reasons": ["truncated"], "warnings": []}], []).save(tmp_path)
    text = text_of(quality.write(tmp_path, tmp_path / "quality.html").read_text())
    assert "No recording could be read." in text


def test_the_report_of_a_run_shows_the_same_quarantine(finished: RunRecord) -> None:
    assert finished.corpus is not None
    section = quality.quarantine(Corpus.load(finished.corpus))
    assert any("gap of 4.2 s" in cell for table in section.tables for cells in table.rows for cell in cells)


def test_every_code_is_explained() -> None:
    assert set(REASONS) == set(Reason)
    codes = {
        str(rule.code) for rule in (*recording_rules(QualityRecipe()), *copy_rules()) if rule.severity == "warning"
    }
    assert codes <= set(WARNINGS)
    assert explain("excluded_wrong_response").meaning == "excluded wrong response"


def test_the_documentation_has_every_code_and_every_rule_with_its_threshold() -> None:
    text = DOCS.read_text()
    assert describe() in text
    for rule in (*recording_rules(QualityRecipe()), *copy_rules()):
        assert re.search(rf"\| {rule.name} \| `{rule.column}` \| {quality.bounds(rule.least, rule.most)} \|", text), (
            rule
        )
    for name, field in QualityRecipe.model_fields.items():
        assert f"| `{name}` | {field.default} |" in text
