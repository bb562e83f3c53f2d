"""Waveforms that EEG is made of. All amplitudes in µV, all times in seconds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labram.simulation.scalp import mixing, spread

Signal = NDArray[np.float64]
Draw = Callable[[str], np.random.Generator]
"""Gives the random numbers that belong to a name, always the same ones."""
_LOWEST_HZ = 0.3
_SENSOR_NOISE_UV = 1.0
_CONDUCTION_DEGREES = 24.0
_POSTERIOR = ((-28.0, -58.0), (28.0, -58.0), (0.0, -45.0))


@dataclass(frozen=True)
class Traits:
    """What is particular to a person's EEG.

    Attributes:
        slope: Exponent of the background's power over frequency.
        background_uv: SD of the background.
        alpha_hz: Peak of the posterior rhythm.
        alpha_uv: SD of the posterior rhythm.
        muscle_uv: SD of muscle tone at the temples.
        line_noise_uv: Amplitude of mains hum.
        blinks_per_minute: Rate of blinks.
    """

    slope: float
    background_uv: float
    alpha_hz: float
    alpha_uv: float
    muscle_uv: float
    line_noise_uv: float
    blinks_per_minute: float


def person(rng: np.random.Generator) -> Traits:
    """Traits of one person."""
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
    rng: np.random.Generator, rows: int, samples: int, rate: float, amplitude: Callable[[Signal], Signal]
) -> Signal:
    """Gaussian noise with a given amplitude spectrum and an SD of 1, [rows, samples]."""
    frequencies = np.fft.rfftfreq(samples, 1 / rate).astype(np.float64)
    shape = np.zeros_like(frequencies)
    shape[1:] = amplitude(frequencies[1:])
    draws = rng.standard_normal((2, rows, len(frequencies)))
    scale = samples / (2.0 * np.sqrt((shape**2).sum()))
    return np.fft.irfft((draws[0] + 1j * draws[1]) * (shape * scale), samples, axis=1)


def rhythm(
    rng: np.random.Generator, samples: int, rate: float, centre_hz: float, width_hz: float, rows: int = 1
) -> Signal:
    """A rhythm that waxes and wanes: noise in a band with a Gaussian flank, SD 1, [rows, samples]."""
    return shaped_noise(rng, rows, samples, rate, lambda f: np.exp(-((f - centre_hz) ** 2) / (4 * width_hz**2)))


def drift(rng: np.random.Generator, samples: int, rate: float, seconds: float, rows: int = 1) -> Signal:
    """A slow random course that changes within about `seconds`, SD 1, [rows, samples]."""
    return shaped_noise(rng, rows, samples, rate, lambda f: np.exp(-((f * seconds) ** 2)))


def background(rng: np.random.Generator, montage: tuple[str, ...], samples: int, rate: float, traits: Traits) -> Signal:
    """The 1/f background as the scalp mixes it, with sensor noise, [N, samples]."""
    sources = shaped_noise(
        rng, len(montage), samples, rate, lambda f: np.where(f < _LOWEST_HZ, 0.0, f ** (-traits.slope / 2))
    )
    noise = rng.standard_normal((len(montage), samples))
    mixed = mixing(montage, _CONDUCTION_DEGREES) @ sources
    return np.asarray(traits.background_uv * mixed + _SENSOR_NOISE_UV * noise)


def posterior_alpha(
    rng: np.random.Generator, montage: tuple[str, ...], samples: int, rate: float, traits: Traits
) -> Signal:
    """The alpha rhythm of the back of the head, before anything attenuates it, [N, samples]."""
    sources = rhythm(rng, samples, rate, traits.alpha_hz, 0.7, rows=len(_POSTERIOR))
    weights = np.stack([spread(montage, place, 32.0) for place in _POSTERIOR], axis=1)
    return traits.alpha_uv * 0.8 * (weights @ sources)


def muscle(rng: np.random.Generator, montage: tuple[str, ...], samples: int, rate: float) -> Signal:
    """Muscle activity of SD 1 at the temples, left and right on their own, [N, samples]."""
    sources = shaped_noise(rng, 2, samples, rate, lambda f: 1 / (1 + np.exp((30.0 - f) / 5.0)))
    weights = np.stack([spread(montage, (x, 15.0), 28.0) for x in (-80.0, 80.0)], axis=1)
    return np.asarray(weights @ sources)


def line_noise(
    rng: np.random.Generator, montage: tuple[str, ...], samples: int, rate: float, hertz: float, traits: Traits
) -> Signal:
    """Mains hum, unlike from electrode to electrode; nothing where the rate cannot carry it, [N, samples]."""
    if hertz >= rate / 2:
        return np.zeros((len(montage), samples))
    strength = traits.line_noise_uv * rng.uniform(0.3, 1.7, (len(montage), 1))
    phase = 2 * np.pi * hertz * np.arange(samples) / rate + rng.uniform(0, 2 * np.pi)
    return np.asarray(strength * np.sin(phase))


def add_wave(signal: Signal, weights: Signal, wave: Signal, at: int) -> None:
    """Add a waveform to all channels from sample `at`; what reaches beyond the ends is cut off."""
    start, stop = max(at, 0), min(at + len(wave), signal.shape[1])
    if stop > start:
        signal[:, start:stop] += weights[:, None] * wave[start - at : stop - at]


def bump(rate: float, peak: float, width: float, seconds: float) -> Signal:
    """A Gaussian bump of height 1 with its peak at `peak`, [seconds · rate]."""
    time = np.arange(round(seconds * rate)) / rate
    return np.exp(-((time - peak) ** 2) / (2 * width**2))


def spike_and_wave(rate: float) -> Signal:
    """A spike of 60 ms, negative at the scalp, and a slow wave of 300 ms, height 1."""
    return -bump(rate, 0.10, 0.018, 0.7) + 0.35 * bump(rate, 0.16, 0.03, 0.7) - 0.55 * bump(rate, 0.36, 0.09, 0.7)


def sharp_complex(rate: float) -> Signal:
    """A triphasic sharp complex of half a second, height 1, as periodic discharges are made of."""
    return 0.45 * bump(rate, 0.10, 0.03, 0.6) - bump(rate, 0.19, 0.035, 0.6) + 0.6 * bump(rate, 0.34, 0.07, 0.6)


def blink(rate: float) -> Signal:
    """The lid's potential, 0.35 s, height 1."""
    return bump(rate, 0.15, 0.055, 0.6) - 0.15 * bump(rate, 0.36, 0.08, 0.6)


def frontal_spread(montage: tuple[str, ...]) -> Signal:
    """How electrodes see the eyes move up: most at the forehead."""
    return spread(montage, (0.0, 95.0), 30.0)


def lateral_spread(montage: tuple[str, ...]) -> Signal:
    """How electrodes see the eyes move to the right: opposite signs at the temples."""
    return spread(montage, (62.0, 60.0), 28.0) - spread(montage, (-62.0, 60.0), 28.0)


def add_blinks(
    rng: np.random.Generator, signal: Signal, montage: tuple[str, ...], rate: float, per_minute: float
) -> None:
    """Blink at random times."""
    seconds = signal.shape[1] / rate
    for _ in range(int(rng.poisson(per_minute * seconds / 60))):
        height = rng.uniform(70.0, 140.0)
        add_wave(signal, height * frontal_spread(montage), blink(rate), int(rng.integers(signal.shape[1])))


def resting(
    rng: np.random.Generator,
    montage: tuple[str, ...],
    samples: int,
    rate: float,
    traits: Traits,
    line_freq_hz: float,
    alpha: Signal | float = 1.0,
) -> Signal:
    """EEG of a person at rest without blinks; `alpha` scales the posterior rhythm over time, [N, samples]."""
    signal = background(rng, montage, samples, rate, traits)
    signal += alpha * posterior_alpha(rng, montage, samples, rate, traits)
    tone = np.exp(0.4 * drift(rng, samples, rate, 4.0))
    signal += traits.muscle_uv * tone * muscle(rng, montage, samples, rate)
    signal += line_noise(rng, montage, samples, rate, line_freq_hz, traits)
    return signal
