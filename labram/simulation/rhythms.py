"""Components of simulated EEG: background, rhythms, artefacts, epileptiform waves. Amplitudes in µV, times in s."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labram.simulation.scalp import mixing, spread

Signal = NDArray[np.float64]
Draw = Callable[[str], np.random.Generator]
"""Returns the random number generator of a name, always in the same state."""
_LOWEST_HZ = 0.3
_SENSOR_NOISE_UV = 1.0
_CONDUCTION_DEGREES = 24.0
_POSTERIOR = ((-28.0, -58.0), (28.0, -58.0), (0.0, -45.0))


@dataclass(frozen=True)
class Traits:
    """Parameters of a person's EEG.

    Attributes:
        slope: Exponent of the 1/f power spectrum of the background.
        background_uv: SD of the background.
        alpha_hz: Peak of the posterior rhythm.
        alpha_uv: SD of the posterior rhythm.
        muscle_uv: SD of temporal muscle activity.
        line_noise_uv: Amplitude of line noise.
        blinks_per_minute: Blink frequency.
    """

    slope: float
    background_uv: float
    alpha_hz: float
    alpha_uv: float
    muscle_uv: float
    line_noise_uv: float
    blinks_per_minute: float


def person(rng: np.random.Generator) -> Traits:
    """Draw the traits of one person."""
    return Traits(
        slope=rng.uniform(1.2, 1.5),
        background_uv=rng.uniform(8.5, 12.0),
        alpha_hz=rng.uniform(9.2, 11.2),
        alpha_uv=rng.uniform(6.0, 14.0),
        muscle_uv=rng.uniform(0.5, 2.5),
        line_noise_uv=rng.uniform(0.5, 4.0),
        blinks_per_minute=rng.uniform(4.0, 14.0),
    )


def shaped_noise(
    rng: np.random.Generator, rows: int, samples: int, sfreq: float, amplitude: Callable[[Signal], Signal]
) -> Signal:
    """Return Gaussian noise with the amplitude spectrum `amplitude`(Hz) and SD 1, [rows, samples]."""
    frequencies = np.fft.rfftfreq(samples, 1 / sfreq).astype(np.float64)
    shape = np.zeros_like(frequencies)
    shape[1:] = amplitude(frequencies[1:])
    draws = rng.standard_normal((2, rows, len(frequencies)))
    scale = samples / (2.0 * np.sqrt((shape**2).sum()))
    return np.fft.irfft((draws[0] + 1j * draws[1]) * (shape * scale), samples, axis=1)


def rhythm(
    rng: np.random.Generator, samples: int, sfreq: float, centre_hz: float, width_hz: float, rows: int = 1
) -> Signal:
    """Return a waxing and waning rhythm: noise in a Gaussian frequency band, SD 1, [rows, samples]."""
    return shaped_noise(rng, rows, samples, sfreq, lambda f: np.exp(-((f - centre_hz) ** 2) / (4 * width_hz**2)))


def drift(rng: np.random.Generator, samples: int, sfreq: float, seconds: float, rows: int = 1) -> Signal:
    """Return slow noise with a time constant of about `seconds`, SD 1, [rows, samples]."""
    return shaped_noise(rng, rows, samples, sfreq, lambda f: np.exp(-((f * seconds) ** 2)))


def background(
    rng: np.random.Generator, montage: tuple[str, ...], samples: int, sfreq: float, traits: Traits
) -> Signal:
    """Return 1/f background activity after volume conduction, with sensor noise, [N, samples]."""
    sources = shaped_noise(
        rng, len(montage), samples, sfreq, lambda f: np.where(f < _LOWEST_HZ, 0.0, f ** (-traits.slope / 2))
    )
    noise = rng.standard_normal((len(montage), samples))
    mixed = mixing(montage, _CONDUCTION_DEGREES) @ sources
    return np.asarray(traits.background_uv * mixed + _SENSOR_NOISE_UV * noise)


def posterior_alpha(
    rng: np.random.Generator, montage: tuple[str, ...], samples: int, sfreq: float, traits: Traits
) -> Signal:
    """Return the unattenuated posterior alpha rhythm, [N, samples]."""
    sources = rhythm(rng, samples, sfreq, traits.alpha_hz, 0.7, rows=len(_POSTERIOR))
    weights = np.stack([spread(montage, centre, 32.0) for centre in _POSTERIOR], axis=1)
    return traits.alpha_uv * 0.8 * (weights @ sources)


def muscle(rng: np.random.Generator, montage: tuple[str, ...], samples: int, sfreq: float) -> Signal:
    """Return temporal muscle activity of SD 1, independent left and right, [N, samples]."""
    sources = shaped_noise(rng, 2, samples, sfreq, lambda f: 1 / (1 + np.exp((30.0 - f) / 5.0)))
    weights = np.stack([spread(montage, (x, 15.0), 28.0) for x in (-80.0, 80.0)], axis=1)
    return np.asarray(weights @ sources)


def line_noise(
    rng: np.random.Generator, montage: tuple[str, ...], samples: int, sfreq: float, hertz: float, traits: Traits
) -> Signal:
    """Return line noise of different amplitude at each electrode, zeros above the Nyquist frequency, [N, samples]."""
    if hertz >= sfreq / 2:
        return np.zeros((len(montage), samples))
    strength = traits.line_noise_uv * rng.uniform(0.3, 1.7, (len(montage), 1))
    phase = 2 * np.pi * hertz * np.arange(samples) / sfreq + rng.uniform(0, 2 * np.pi)
    return np.asarray(strength * np.sin(phase))


def add_wave(signal: Signal, weights: Signal, wave: Signal, at: int) -> None:
    """Add a waveform to all channels from sample `at`, cut off at the ends of the signal."""
    start, stop = max(at, 0), min(at + len(wave), signal.shape[1])
    if stop > start:
        signal[:, start:stop] += weights[:, None] * wave[start - at : stop - at]


def bump(sfreq: float, peak: float, width: float, seconds: float) -> Signal:
    """Return a Gaussian bump of height 1 with its peak at `peak` seconds, [seconds · sfreq]."""
    time = np.arange(round(seconds * sfreq)) / sfreq
    return np.exp(-((time - peak) ** 2) / (2 * width**2))


def spike_and_wave(sfreq: float) -> Signal:
    """Return a spike of 60 ms, negative at the scalp, with a slow wave of 300 ms, height 1."""
    return -bump(sfreq, 0.10, 0.018, 0.7) + 0.35 * bump(sfreq, 0.16, 0.03, 0.7) - 0.55 * bump(sfreq, 0.36, 0.09, 0.7)


def sharp_complex(sfreq: float) -> Signal:
    """Return a triphasic sharp complex of half a second, height 1, the element of periodic discharges."""
    return 0.45 * bump(sfreq, 0.10, 0.03, 0.6) - bump(sfreq, 0.19, 0.035, 0.6) + 0.6 * bump(sfreq, 0.34, 0.07, 0.6)


def blink(sfreq: float) -> Signal:
    """Return the potential of an eye blink, 0.35 s, height 1."""
    return bump(sfreq, 0.15, 0.055, 0.6) - 0.15 * bump(sfreq, 0.36, 0.08, 0.6)


def frontal_spread(montage: tuple[str, ...]) -> Signal:
    """Return the topography of blinks and vertical eye movements, [N]."""
    return spread(montage, (0.0, 95.0), 30.0)


def lateral_spread(montage: tuple[str, ...]) -> Signal:
    """Return the topography of eye movements to the right, [N]."""
    return spread(montage, (62.0, 60.0), 28.0) - spread(montage, (-62.0, 60.0), 28.0)


def add_blinks(
    rng: np.random.Generator, signal: Signal, montage: tuple[str, ...], sfreq: float, per_minute: float
) -> None:
    """Add blinks at random times."""
    seconds = signal.shape[1] / sfreq
    for _ in range(int(rng.poisson(per_minute * seconds / 60))):
        height = rng.uniform(70.0, 140.0)
        add_wave(signal, height * frontal_spread(montage), blink(sfreq), int(rng.integers(signal.shape[1])))


def resting(
    rng: np.random.Generator,
    montage: tuple[str, ...],
    samples: int,
    sfreq: float,
    traits: Traits,
    line_freq_hz: float,
    alpha: Signal | float = 1.0,
) -> Signal:
    """Return resting EEG without blinks; `alpha` scales the posterior rhythm over time, [N, samples]."""
    signal = background(rng, montage, samples, sfreq, traits)
    signal += alpha * posterior_alpha(rng, montage, samples, sfreq, traits)
    tone = np.exp(0.4 * drift(rng, samples, sfreq, 4.0))
    signal += traits.muscle_uv * tone * muscle(rng, montage, samples, sfreq)
    signal += line_noise(rng, montage, samples, sfreq, line_freq_hz, traits)
    return signal
