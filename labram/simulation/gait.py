"""Simulated gait laboratory: 24 electrodes over the motor cortex, 100 Hz, BDF+ in millivolts, no line noise in band.

``SLnn/SLnn-T01.bdf`` with joint angles in ``SLnn-T01-joints.csv``: seconds and six angles in degrees, 20 rows a second.
The flexion of a joint follows the event-related desynchronisation of its contralateral rhythm: hips mu, knees beta,
ankles gamma. Steps add motion artefacts.
"""

from pathlib import Path

import numpy as np

from labram.simulation import files, rhythms
from labram.simulation.scalp import spread

NAME = "sim_gait"
LINE_FREQ_HZ = 60.0
SFREQ = 100.0
_CAP = "F3 F1 Fz F2 F4 FC3 FC1 FCz FC2 FC4 C5 C3 C1 Cz C2 C4 C6 CP3 CP1 CPz CP2 CP4 Pz Oz"
LABELS = _CAP.split()
MONTAGE = tuple(label.upper() for label in LABELS)
JOINTS = ("left_hip", "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle")
SECONDS = 66
_STRIDE = 5
_ROWS_PER_SECOND = SFREQ / _STRIDE
_BANDS = {"hip": (10.5, 1.0, 7.0), "knee": (20.0, 2.5, 4.5), "ankle": (37.0, 3.0, 2.5)}
"""Frequency and width in Hz, SD in µV."""
_ANGLES = {"hip": (12.0, 9.0, 14.0), "knee": (28.0, 12.0, 20.0), "ankle": (3.0, 6.0, 9.0)}
"""Degrees: mean, amplitude of the slow change, amplitude of the swing within a stride."""
_DEPTH = 0.5
_SHARED = 0.4


def write(folder: Path, number: int, draw: rhythms.Draw, *, seconds: int = SECONDS) -> None:
    """Write the recording and joint angles of one participant."""
    name = f"SL{number + 1:02d}/SL{number + 1:02d}-T01"
    rng = draw(f"{NAME}/{name}")
    samples = round(seconds * SFREQ)
    traits = rhythms.person(rng)
    flexion = _flexion(rng, samples)
    stride = 2 * np.pi * np.cumsum(rng.uniform(0.85, 1.05) + 0.03 * rhythms.drift(rng, samples, SFREQ, 5.0)[0]) / SFREQ
    signal = rhythms.resting(rng, MONTAGE, samples, SFREQ, traits, LINE_FREQ_HZ, alpha=0.6)
    for joint, course in zip(JOINTS, flexion, strict=True):
        signal += _motor_rhythm(rng, joint, course)
    signal += np.outer(rng.uniform(1.0, 5.0, len(MONTAGE)), np.sin(2 * stride) + 0.4 * np.sin(4 * stride + 1.0))
    rhythms.add_blinks(rng, signal, MONTAGE, SFREQ, traits.blinks_per_minute)
    files.write_bdf(folder / f"{name}.bdf", signal, LABELS, SFREQ)
    _write_joints(folder / f"{name}-joints.csv", _angles(flexion, stride))


def write_flat(folder: Path, draw: rhythms.Draw) -> None:
    """Write a flat second trial of the first participant, as from an unplugged cap, for the quarantine."""
    rng = draw(f"{NAME}/flat")
    samples = round(20 * SFREQ)
    signal = 0.02 * rng.standard_normal((len(MONTAGE), samples))
    files.write_bdf(folder / "SL01/SL01-T02.bdf", signal, LABELS, SFREQ)
    angles = _angles(np.zeros((len(JOINTS), samples)), np.zeros(samples))
    _write_joints(folder / "SL01/SL01-T02-joints.csv", angles)


def _flexion(rng: np.random.Generator, samples: int) -> rhythms.Signal:
    """Return the slow course of each joint, SD about 1, correlated within a leg, [joints, samples]."""
    independent = rhythms.drift(rng, samples, SFREQ, 6.0, rows=len(JOINTS))
    legs = np.repeat(rhythms.drift(rng, samples, SFREQ, 6.0, rows=2), 3, axis=0)
    return np.asarray(np.sqrt(1 - _SHARED**2) * independent + _SHARED * legs)


def _motor_rhythm(rng: np.random.Generator, joint: str, flexion: rhythms.Signal) -> rhythms.Signal:
    side, part = joint.split("_")
    hertz, width, uv = _BANDS[part]
    centre = (32.0 if side == "left" else -32.0, 0.0)
    course = uv * np.exp(-_DEPTH * flexion) * rhythms.rhythm(rng, len(flexion), SFREQ, hertz, width)[0]
    return np.outer(spread(MONTAGE, centre, 22.0), course)


def _angles(flexion: rhythms.Signal, stride: rhythms.Signal) -> rhythms.Signal:
    rows = []
    for joint, course in zip(JOINTS, flexion, strict=True):
        side, part = joint.split("_")
        mean, change, swing = _ANGLES[part]
        rows.append(mean + change * course + swing * np.sin(stride + (0.0 if side == "left" else np.pi)))
    return np.stack(rows)


def _write_joints(path: Path, angles: rhythms.Signal) -> None:
    rows = [
        ",".join([f"{i / _ROWS_PER_SECOND:.2f}", *(f"{angle:.2f}" for angle in column)])
        for i, column in enumerate(angles[:, ::_STRIDE].T)
    ]
    files.write_text(path, ["seconds," + ",".join(JOINTS), *rows])
