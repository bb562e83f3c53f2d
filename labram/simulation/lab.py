"""Simulated emotion laboratory: 32 electrodes (``Fp1``, ``Fz``), 250 Hz, BrainVision, line frequency 50 Hz.

``sub-NN/sub-NN_task-film_eeg.vhdr`` with the trials in ``…_events.tsv`` (onset, duration, trial_type): several trials
of each of five emotions. Emotions differ in frontal theta, frontal alpha asymmetry, posterior alpha, and temporal beta
and gamma, with variance between participants and between trials.
"""

from pathlib import Path

import numpy as np

from labram.simulation import files, rhythms
from labram.simulation.scalp import position, spread

NAME = "sim_lab"
LINE_FREQ_HZ = 50.0
SFREQ = 250.0
_CAP = "Fp1 Fp2 F7 F3 Fz F4 F8 FC5 FC1 FC2 FC6 T7 C3 Cz C4 T8 TP9 CP5 CP1 CP2 CP6 TP10 P7 P3 Pz P4 P8 PO9 O1 Oz O2 PO10"
LABELS = _CAP.split()
MONTAGE = tuple(label.upper() for label in LABELS)
EMOTIONS = ("disgust", "fear", "sad", "neutral", "happy")
TRIAL_SECONDS = 6
TRIALS = 2

_SOURCES = (
    ("FZ", 6.0, 0.8),
    ("F3", 10.0, 1.0),
    ("F4", 10.0, 1.0),
    ("T7", 21.0, 3.0),
    ("T8", 21.0, 3.0),
    ("T7", 38.0, 5.0),
    ("T8", 38.0, 5.0),
)
"""Electrode, frequency and bandwidth in Hz of the rhythms that emotions modulate; posterior alpha follows last."""
_UV = np.array([7.0, 5.0, 5.0, 4.0, 4.0, 2.5, 2.5])
_EFFECT = {
    "disgust": (0.2, 0.5, -0.4, 0.2, 0.5, 0.0, 0.2, -0.3),
    "fear": (0.7, 0.3, -0.3, 0.4, 0.6, 0.4, 0.5, -0.7),
    "sad": (0.0, 0.6, 0.1, -0.4, -0.4, -0.4, -0.4, 0.2),
    "neutral": (-0.6, -0.1, 0.0, -0.2, -0.2, -0.1, -0.1, 0.6),
    "happy": (0.0, -0.5, 0.4, 0.2, 0.1, 0.6, 0.6, 0.0),
}
"""Change of the log amplitude of each rhythm."""
_PERSON_SD, _TRIAL_SD = 0.15, 0.25


def write(folder: Path, number: int, draw: rhythms.Draw, *, trials: int = TRIALS) -> None:
    """Write the recording of one participant: `trials` trials of each emotion, in random order."""
    name = f"sub-{number + 1:02d}/sub-{number + 1:02d}_task-film"
    rng = draw(f"{NAME}/{name}")
    order = rng.permutation(np.repeat(np.arange(len(EMOTIONS)), trials))
    samples = round(len(order) * TRIAL_SECONDS * SFREQ)
    traits = rhythms.person(rng)
    gains = _gains(rng, order, samples)
    signal = rhythms.resting(rng, MONTAGE, samples, SFREQ, traits, LINE_FREQ_HZ, alpha=gains[-1])
    for (electrode, hertz, width), uv, gain in zip(_SOURCES, _UV, gains[:-1], strict=True):
        signal += np.outer(
            spread(MONTAGE, position(electrode), 26.0), uv * gain * rhythms.rhythm(rng, samples, SFREQ, hertz, width)[0]
        )
    rhythms.add_blinks(rng, signal, MONTAGE, SFREQ, traits.blinks_per_minute)
    onsets = [float(trial * TRIAL_SECONDS) for trial in range(len(order))]
    files.write_brainvision(
        folder / f"{name}_eeg.vhdr",
        signal,
        LABELS,
        SFREQ,
        markers=[(onset, int(emotion) + 1) for onset, emotion in zip(onsets, order, strict=True)],
    )
    rows = [
        f"{onset:.1f}\t{TRIAL_SECONDS:.1f}\t{EMOTIONS[emotion]}" for onset, emotion in zip(onsets, order, strict=True)
    ]
    files.write_text(folder / f"{name}_events.tsv", ["onset\tduration\ttrial_type", *rows])


def _gains(rng: np.random.Generator, order: np.ndarray, samples: int) -> rhythms.Signal:
    """Return the amplitude factor of each rhythm over time, [rhythms, samples]."""
    effects = np.array([_EFFECT[EMOTIONS[emotion]] for emotion in order])
    person = rng.normal(0.0, _PERSON_SD, effects.shape[1])
    logs = effects + person + rng.normal(0.0, _TRIAL_SD, effects.shape)
    return np.exp(np.repeat(logs, samples // len(order), axis=0)).T
