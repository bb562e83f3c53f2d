"""Write recordings in the formats of real recorders, with the same bytes at every time and place.

Signals are rounded to the recorder's integers here, at the very end. Dates are fixed, names are X, and nothing tells
which program wrote a file. BrainVision files are written directly because pybv puts its version into them.
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


def write_edf(path: Path, signal: Signal, labels: list[str], rate: float) -> None:
    """EDF+ with a step of 0.1 µV, unit ``uV``. `signal` [N, samples] in µV."""
    samples = _digital(signal, _STEP_UV, 32767).astype(np.int16)
    _write_records(path, edfio.Edf, edfio.EdfSignal, samples, labels, rate, (32767, 3276.7, "uV"))


def write_bdf(path: Path, signal: Signal, labels: list[str], rate: float) -> None:
    """BDF+ with a step of about 1/32 µV, unit ``mV``. `signal` [N, samples] in µV."""
    samples = _digital(signal, _BDF_STEP_UV, 8388607).astype(np.int32)
    _write_records(path, edfio.Bdf, edfio.BdfSignal, samples, labels, rate, (8388607, 262.14, "mV"))


def _write_records(
    path: Path,
    container: Any,
    channel: Any,
    samples: NDArray[np.int16] | NDArray[np.int32],
    labels: list[str],
    rate: float,
    scale: tuple[int, float, str],
) -> None:
    """`scale`: largest digital value, the physical one it stands for, its unit; symmetric, so that 0 is 0."""
    digital, physical, unit = scale
    signals = [
        channel.from_digital(
            row,
            rate,
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
    path: Path, signal: Signal, labels: list[str], rate: float, *, markers: list[tuple[float, int]]
) -> None:
    """A BrainVision triple, 16-bit with a step of 0.1 µV.

    Args:
        path: Of the header; the other two stand beside it.
        signal: µV, [N, samples].
        labels: Channel labels.
        rate: Samples per second; must divide a million.
        markers: Seconds and stimulus number.
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
        f"SamplingInterval={round(1e6 / rate)}",
        "",
        "[Binary Infos]",
        "BinaryFormat=INT_16",
        "",
        "[Channel Infos]",
        *channels,
    ]
    stimuli = [
        f"Mk{n}=Stimulus,S{number:3d},{round(onset * rate) + 1},1,0" for n, (onset, number) in enumerate(markers, 2)
    ]
    start = f"Mk1=New Segment,,1,1,0,{DATE:%Y%m%d}000000000000"
    marks = ["Brain Vision Data Exchange Marker File, Version 1.0", *common, "", "[Marker Infos]", start, *stimuli]
    for suffix, lines in ((".vhdr", header), (".vmrk", marks)):
        path.with_suffix(suffix).write_bytes("".join(f"{line}\r\n" for line in lines).encode())


def write_text(path: Path, lines: list[str]) -> None:
    """Text with line feeds, whatever the platform's habit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())


def _digital(signal: Signal, step_uv: float, limit: int) -> NDArray[np.float64]:
    return np.clip(np.rint(signal / step_uv), -limit, limit)
