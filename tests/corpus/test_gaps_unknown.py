"""A recording whose file does not tell its pauses is used, with a warning; the gap rule has no value to check."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from antio.libeep import pyeep

from labram.corpus.catalogue import Corpus
from labram.corpus.ingest import IngestResult
from labram.corpus.rules import check_rules, recording_rules
from labram.errors import Reason
from labram.recipe import QualityRecipe

TakeIn = Callable[..., tuple[IngestResult, Corpus]]


def test_an_interruption_of_unknown_duration_is_a_warning_and_no_gap_of_zero(tmp_path: Path, take_in: TakeIn):
    data = tmp_path / "data"
    data.mkdir()
    channels = pyeep.create_channel_info()
    for label in ("Fp1", "Cz"):
        pyeep.add_channel(channels, label, "CPz", "uV")
    handle = pyeep.write_cnt(str(data / "a.cnt"), 200, channels, 0)
    pyeep.add_samples(handle, np.random.default_rng(3).normal(0, 20, 2 * 2000).tolist(), 2)
    pyeep.close(handle)
    (data / "a.trg").write_text("0.005 904\n 4.0 0 __\n")
    rows = take_in(data)[1].catalogue
    assert list(rows["verdict"]) == ["accepted"]
    assert rows["gap_seconds"].isna().all()
    assert "gaps_unknown" in list(rows["warnings"][0])
    rule = next(rule for rule in recording_rules(QualityRecipe()) if rule.code == Reason.GAPS)
    assert check_rules(rows.assign(gaps_unknown=True), [rule]).outcomes[0].recordings == ()
