"""Simulated clinical archive: 23 electrodes labelled like ``EEG FP1-REF``, 256 Hz, EDF+, line frequency 60 Hz.

``routine/{normal,abnormal}/01_tcp_ar/`` holds two routine sessions of each patient, in the layout of TUAB.
``events/<patient>/`` holds one recording each with a ``.rec`` file whose rows are channel, start, stop and class 1 to
6, as in TUEV.

Abnormal sessions have a slower posterior rhythm, polymorphic slow waves and some sharp waves; their severity overlaps
with that of normal sessions. Events: spike and slow wave, periodic discharges (generalised, lateralised), eye movement,
artefact, background.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from labram.simulation import files, rhythms
from labram.simulation.scalp import position, spread

NAME = "sim_hospital"
LINE_FREQ_HZ = 60.0
SFREQ = 256.0
_NAMES = "FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 A1 A2 FZ CZ PZ T1 T2"
MONTAGE = tuple(_NAMES.split())
EVENTS = ("SPSW", "GPED", "PLED", "EYEM", "ARTF", "BCKG")
SESSIONS = 2
SESSION_SECONDS = 28
BLOCK_SECONDS = 5
_LABELS = [f"EEG {name}-REF" for name in MONTAGE] + ["EEG EKG1-REF"]
_FOCI = ("F7", "F8", "T3", "T4", "T5", "T6", "C3", "C4")
_SHARE = (3, 3, 3, 2, 2, 4)
_INVOLVED = 0.5


def write(folder: Path, number: int, generator: rhythms.Draw, *, sessions: int = SESSIONS, blocks: int = 17) -> None:
    """Write the recordings of one patient.

    Args:
        folder: The dataset's folder.
        number: Patient number; odd ones are abnormal.
        generator: Returns the random number generator of a recording by its name.
        sessions: Number of routine recordings.
        blocks: Number of labelled events in the event recording.
    """
    patient = patient_id(number)
    verdict = "abnormal" if number % 2 else "normal"
    rng = generator(f"{NAME}/{patient}")
    severity = rng.uniform(0.45, 1.0) if number % 2 else rng.uniform(0.0, 0.3)
    traits = _slowed(rng, rhythms.person(rng), severity)
    focus = position(_FOCI[int(rng.integers(len(_FOCI)))])
    for session in range(1, sessions + 1):
        name = f"routine/{verdict}/01_tcp_ar/{patient}_s{session:03d}_t000.edf"
        _write(folder / name, _routine(generator(f"{NAME}/{name}"), traits, severity, focus))
    name = f"events/{patient}/{patient}_00000001.edf"
    signal, rows = _eventful(generator(f"{NAME}/{name}"), traits, blocks)
    _write(folder / name, signal)
    files.write_text((folder / name).with_suffix(".rec"), rows)


def write_truncated(folder: Path, generator: rhythms.Draw) -> None:
    """Write a truncated session of the first patient, as from an interrupted transfer, for the quarantine."""
    patient = patient_id(0)
    path = folder / f"routine/normal/01_tcp_ar/{patient}_s{SESSIONS + 1:03d}_t000.edf"
    rng = generator(f"{NAME}/truncated")
    _write(path, _routine(rng, rhythms.person(rng), 0.0, (0.0, 0.0)))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def patient_id(number: int) -> str:
    """Return a patient ID of eight letters, as in the corpora of Temple University Hospital."""
    return "aaaaaa" + chr(ord("a") + number // 26) + chr(ord("a") + number % 26)


def _slowed(rng: np.random.Generator, traits: rhythms.Traits, severity: float) -> rhythms.Traits:
    return replace(traits, alpha_hz=traits.alpha_hz - 2.2 * severity + rng.normal(0.0, 0.3))


def _routine(
    rng: np.random.Generator, traits: rhythms.Traits, severity: float, focus: tuple[float, float]
) -> rhythms.Signal:
    samples = round(SESSION_SECONDS * SFREQ)
    reaction = 1.0 - 0.7 / (1.0 + np.exp(-3.0 * rhythms.drift(rng, samples, SFREQ, 3.0)))
    signal = rhythms.resting(rng, MONTAGE, samples, SFREQ, traits, LINE_FREQ_HZ, alpha=reaction)
    _add_slowing(rng, signal, severity, focus)
    for _ in range(int(rng.poisson(6 * severity))):
        weights = rng.uniform(30.0, 80.0) * spread(MONTAGE, focus, 30.0)
        rhythms.add_wave(signal, weights, rhythms.spike_and_wave(SFREQ), int(rng.integers(samples)))
    rhythms.add_blinks(rng, signal, MONTAGE, SFREQ, traits.blinks_per_minute)
    return signal


def _add_slowing(rng: np.random.Generator, signal: rhythms.Signal, severity: float, focus: tuple[float, float]) -> None:
    """Add intermittent slow waves of 1-4 Hz, partly focal."""
    samples = signal.shape[1]
    weights = np.stack([0.5 * np.ones(len(MONTAGE)), spread(MONTAGE, focus, 45.0)], axis=1)
    strength = (2.0 + 24.0 * severity * rng.uniform(0.7, 1.3)) * np.exp(0.5 * rhythms.drift(rng, samples, SFREQ, 3.0))
    signal += strength * (weights @ rhythms.rhythm(rng, samples, SFREQ, 2.4, 0.8, rows=2))


def _eventful(rng: np.random.Generator, traits: rhythms.Traits, blocks: int) -> tuple[rhythms.Signal, list[str]]:
    signal = rhythms.resting(
        rng, MONTAGE, round(blocks * BLOCK_SECONDS * SFREQ), SFREQ, traits, LINE_FREQ_HZ, alpha=0.7
    )
    classes = np.resize(np.repeat(np.arange(len(EVENTS)), _SHARE), max(blocks, 1))[:blocks]
    rows = []
    for block, kind in enumerate(rng.permutation(classes)):
        start = block * BLOCK_SECONDS
        weights = _ADD[EVENTS[kind]](rng, signal, start)
        involved = np.flatnonzero(np.abs(weights) >= _INVOLVED * np.abs(weights).max())[:4]
        rows += [f"{channel},{start + 2:.1f},{start + 3:.1f},{kind + 1}" for channel in involved]
    return signal, rows


def _spike_wave(rng: np.random.Generator, signal: rhythms.Signal, start: float) -> rhythms.Signal:
    weights = spread(MONTAGE, position(_FOCI[int(rng.integers(len(_FOCI)))]), rng.uniform(28.0, 45.0))
    for lag in (2.05, 2.05 + rng.uniform(0.35, 0.5)):
        at = round((start + lag) * SFREQ)
        rhythms.add_wave(signal, rng.uniform(60.0, 130.0) * weights, rhythms.spike_and_wave(SFREQ), at)
    return weights


def _periodic(rng: np.random.Generator, signal: rhythms.Signal, start: float, weights: rhythms.Signal) -> None:
    period, height = 1 / rng.uniform(0.9, 1.6), rng.uniform(22.0, 55.0)
    for lag in np.arange(0.1, BLOCK_SECONDS - 0.5, period):
        at = round((start + lag + rng.normal(0.0, 0.03)) * SFREQ)
        rhythms.add_wave(signal, height * rng.uniform(0.8, 1.2) * weights, rhythms.sharp_complex(SFREQ), at)


def _generalised(rng: np.random.Generator, signal: rhythms.Signal, start: float) -> rhythms.Signal:
    weights = spread(MONTAGE, (0.0, 15.0), 90.0)
    _periodic(rng, signal, start, weights)
    return weights


def _lateralised(rng: np.random.Generator, signal: rhythms.Signal, start: float) -> rhythms.Signal:
    side = rng.choice([-1.0, 1.0])
    weights = spread(MONTAGE, (side * 58.0, rng.uniform(-20.0, 20.0)), 38.0)
    _periodic(rng, signal, start, 1.2 * weights)
    return weights


def _eye_movement(rng: np.random.Generator, signal: rhythms.Signal, start: float) -> rhythms.Signal:
    lateral = rng.random() < 0.4
    weights = rhythms.lateral_spread(MONTAGE) if lateral else rhythms.frontal_spread(MONTAGE)
    for _ in range(int(rng.integers(1, 4))):
        at = round((start + rng.uniform(1.6, 2.8)) * SFREQ)
        rhythms.add_wave(signal, rng.uniform(60.0, 140.0) * weights, rhythms.blink(SFREQ), at)
    return weights


def _artefact(rng: np.random.Generator, signal: rhythms.Signal, start: float) -> rhythms.Signal:
    """Add a muscle artefact, or an electrode pop."""
    begin = round((start + rng.uniform(1.0, 2.0)) * SFREQ)
    if rng.random() < 0.6:
        length = round(rng.uniform(1.0, 2.5) * SFREQ)
        burst = rng.uniform(12.0, 35.0) * rhythms.muscle(rng, MONTAGE, length, SFREQ) * np.hanning(length)
        signal[:, begin : begin + length] += burst[:, : signal.shape[1] - begin]
        return spread(MONTAGE, (-80.0, 15.0), 28.0) + spread(MONTAGE, (80.0, 15.0), 28.0)
    weights = _one_electrode(rng)
    jump = np.exp(-np.arange(round(2.0 * SFREQ)) / (0.4 * SFREQ))
    rhythms.add_wave(signal, rng.choice([-1.0, 1.0]) * rng.uniform(150.0, 350.0) * weights, jump, begin)
    return weights


def _one_electrode(rng: np.random.Generator) -> rhythms.Signal:
    weights = np.zeros(len(MONTAGE))
    weights[int(rng.integers(len(MONTAGE)))] = 1.0
    return weights


def _nothing(rng: np.random.Generator, signal: rhythms.Signal, start: float) -> rhythms.Signal:
    if rng.random() < 0.2:
        at = round((start + rng.uniform(0.0, 4.0)) * SFREQ)
        rhythms.add_wave(signal, 60.0 * rhythms.frontal_spread(MONTAGE), rhythms.blink(SFREQ), at)
    return _one_electrode(rng)


_ADD = {
    "SPSW": _spike_wave,
    "GPED": _generalised,
    "PLED": _lateralised,
    "EYEM": _eye_movement,
    "ARTF": _artefact,
    "BCKG": _nothing,
}


def _write(path: Path, signal: rhythms.Signal) -> None:
    heart = np.zeros((1, signal.shape[1]))
    beat = rhythms.bump(SFREQ, 0.1, 0.012, 0.2) - 0.2 * rhythms.bump(SFREQ, 0.14, 0.012, 0.2)
    for at in range(0, signal.shape[1], round(0.86 * SFREQ)):
        rhythms.add_wave(heart, np.array([900.0]), beat, at)
    files.write_edf(path, np.concatenate([signal, heart]), _LABELS, SFREQ)
