"""Labels are text: UTF-8 if they are that, else of Windows or Latin-1, in every format."""

from pathlib import Path

import edfio
import numpy as np
import pytest

from labram.signals.electrodes import canonical_names
from labram.signals.readers import edf_header, gdf_header
from labram.signals.readers.header_text import decode, field, redecode


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"Fp1-Ref", "Fp1-Ref"),
        ("Fp1–Ref".encode(), "Fp1–Ref"),
        (b"\xef\xbb\xbfFp1", "Fp1"),
        ("Fp1–Ref".encode("cp1252"), "Fp1–Ref"),
        ("Fp1 ä µV".encode("latin1"), "Fp1 ä µV"),
        (b"\x81 \xe4", "\x81 ä"),
        ("EEG Fp1–Reference ü".encode()[:-1], "EEG Fp1–Reference "),
        ("脑电".encode()[:-2], "脑"),
        (b"", ""),
    ],
)
def test_text_is_decoded_as_what_it_is(content: bytes, text: str) -> None:
    assert decode(content) == text
    assert redecode(content.decode("latin1")) == text


def test_a_field_ends_at_nul_whatever_follows() -> None:
    assert field("Fp1–A1 ".encode() + b"\0\xff\xfe") == "Fp1–A1"
    assert redecode("脑电") == "脑电"


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_labels_of_edf_and_gdf(tmp_path: Path, encoding: str) -> None:
    label = "Fp1–Ref".encode(encoding)
    signal = edfio.EdfSignal(np.linspace(-9, 9, 256), 128, label="Fp1", physical_dimension="uV")
    path = tmp_path / "a.edf"
    edfio.Edf([signal]).write(path)
    content = bytearray(path.read_bytes())
    content[256 : 256 + 16] = label.ljust(16)
    path.write_bytes(content)
    described = label.ljust(16) + bytes(88) + np.array([-9, 9], "<f8").tobytes() + np.array([-9, 9], "<i8").tobytes()
    described = described.ljust(216, b"\0") + np.array([128, 3], "<i4").tobytes() + bytes(32)
    (gdf,) = gdf_header._channels(path, described, 1, second=False)
    (edf,) = edf_header.read_header(path).channels
    assert canonical_names([edf.label]) == canonical_names([gdf.label]) == ("FP1",)
