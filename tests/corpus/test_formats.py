"""A plain folder of several formats: what is a recording is a row, read or refused by name, and nothing else is one."""

from collections.abc import Callable
from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.corpus.ingest import IngestResult


def test_every_recording_of_a_folder_is_a_row_and_no_other_file_is(
    tmp_path: Path, write_edf: Callable[..., Path], take_in: Callable[..., tuple[IngestResult, Corpus]]
) -> None:
    data = tmp_path / "data"
    write_edf(data / "sound.edf")
    numbers = "\n".join(str(index % 17) for index in range(400))
    (data / "LICENSE.txt").write_text("Take it.\n" * 400)
    (data / "subjects.csv").write_text("subject,age\n" + "1,30\n" * 400)
    (data / "counts.txt").write_text(numbers)
    (data / "powers.csv").write_text(
        "TimeStamp,Alpha_TP9,RAW_TP9\n"
        + "".join(f"2020-02-02 10:00:{second:02d}.000,0.5,800\n" for second in range(60))
    )
    (data / "iris.arff").write_text("@RELATION iris\n@ATTRIBUTE petal NUMERIC\n@DATA\n1\n")
    (data / "a.mff").mkdir()
    (data / "a.mff" / "categories.xml").write_text("<categories/>")
    (data / "b.trc").write_bytes(b"\0" * 400)
    _, corpus = take_in(data)
    found = sorted((row.format, *row.reasons) for row in corpus.catalogue.itertuples(index=False))
    assert found == [
        ("csv", "not_eeg"),
        ("edf",),
        ("mff", "epoched"),
        ("trc", "unsupported_format"),
        ("txt", "unsupported_format"),
    ]


def test_an_electrode_that_is_named_twice_is_used_once_and_counted(
    tmp_path: Path, write_edf: Callable[..., Path], take_in: Callable[..., tuple[IngestResult, Corpus]]
) -> None:
    labels = ("EEG Fp1-Ref", "Fp1:M1", "EEG_Fp2_LE", "POL C3", "fp2", "O1-CPz")
    write_edf(tmp_path / "data" / "a.edf", channels=labels)
    _, corpus = take_in(tmp_path / "data")
    row = corpus.catalogue.iloc[0]
    assert (list(row["montage"]), list(row["warnings"])) == (
        ["FP1", "FP2", "C3"],
        ["lost_channels=1", "repeated_electrodes=2"],
    )
