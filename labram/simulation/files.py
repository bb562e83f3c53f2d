"""Write recordings as EDF+, BDF+ and BrainVision files, byte for byte reproducibly.

Signals are rounded to integers only here. Dates are fixed, names are X, and files do not state the program that wrote
them. BrainVision files are written directly because pybv writes its version into them.
"""

import datetime
from pathlib import Path
from typing import Any

import edfio
import numpy as np
from numpy.typing import NDArray

from labram.simulation.rhythms import Signal

DATE = datetime.date(2000, 1, 1)
_STEP_UV = 0.1
_BDF_STEP_UV = 262140.0 / 8388607


def write_edf(path: Path, signal: Signal, labels: list[str], sfreq: float) -> None:
    """Write EDF+ with a resolution of 0.1 µV, unit ``uV``. `signal` [N, samples] in µV, `sfreq` in Hz."""
    samples = _digital(signal, _STEP_UV, 32767).astype(np.int16)
    _write_records(path, edfio.Edf, edfio.EdfSignal, samples, labels, sfreq, (32767, 3276.7, "uV"))


def write_bdf(path: Path, signal: Signal, labels: list[str], sfreq: float) -> None:
    """Write BDF+ with a resolution of about 1/32 µV, unit ``mV``. `signal` [N, samples] in µV, `sfreq` in Hz."""
    samples = _digital(signal, _BDF_STEP_UV, 8388607).astype(np.int32)
    _write_records(path, edfio.Bdf, edfio.BdfSignal, samples, labels, sfreq, (8388607, 262.14, "mV"))


def _write_records(
    path: Path,
    container: Any,
    channel: Any,
    samples: NDArray[np.int16] | NDArray[np.int32],
    labels: list[str],
    sfreq: float,
    scale: tuple[int, float, str],
) -> None:
    """Write data records. `scale`: digital maximum, physical maximum, unit; both symmetric about 0."""
    digital, physical, unit = scale
    signals = [
        channel.from_digital(
            row,
            sfreq,
            label=label,
            physical_dimension=unit,
            physical_range=(-physical, physical),
            digital_range=(-digital, digital),
        )
        for row, label in zip(samples, labels, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    container(
        signals,
        patient=edfio.Patient(),
        recording=edfio.Recording(startdate=DATE),
        starttime=datetime.time(0),
        data_record_duration=1,
        annotations=(),
    ).write(path)


def write_brainvision(
    path: Path, signal: Signal, labels: list[str], sfreq: float, *, markers: list[tuple[float, int]]
) -> None:
    """Write a BrainVision triple, 16-bit with a resolution of 0.1 µV.

    Args:
        path: Header file; the sample and marker files are written beside it.
        signal: µV, [N, samples].
        labels: Channel labels.
        sfreq: Sampling rate in Hz; must divide a million.
        markers: Onset in seconds and stimulus number.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    digital = _digital(signal, _STEP_UV, 32767)
    path.with_suffix(".eeg").write_bytes(np.ascontiguousarray(digital.T, "<i2").tobytes())
    common = ["", "[Common Infos]", "Codepage=UTF-8", f"DataFile={path.stem}.eeg"]
    channels = [f"Ch{n}={label},,{_STEP_UV},µV" for n, label in enumerate(labels, start=1)]
    header = [
        "Brain Vision Data Exchange Header File Version 1.0",
        *common,
        f"MarkerFile={path.stem}.vmrk",
        "DataFormat=BINARY",
        "DataOrientation=MULTIPLEXED",
        f"NumberOfChannels={len(labels)}",
        f"SamplingInterval={round(1e6 / sfreq)}",
        "",
        "[Binary Infos]",
        "BinaryFormat=INT_16",
        "",
        "[Channel Infos]",
        *channels,
    ]
    stimuli = [
        f"Mk{n}=Stimulus,S{number:3d},{round(onset * sfreq) + 1},1,0" for n, (onset, number) in enumerate(markers, 2)
    ]
    start = f"Mk1=New Segment,,1,1,0,{DATE:%Y%m%d}000000000000"
    marks = ["Brain Vision Data Exchange Marker File, Version 1.0", *common, "", "[Marker Infos]", start, *stimuli]
    for suffix, lines in ((".vhdr", header), (".vmrk", marks)):
        path.with_suffix(suffix).write_bytes("".join(f"{line}\r\n" for line in lines).encode())


def write_text(path: Path, lines: list[str]) -> None:
    """Write text with line feeds on every platform."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())


def _digital(signal: Signal, step_uv: float, limit: int) -> NDArray[np.float64]:
    return np.clip(np.rint(signal / step_uv), -limit, limit)
