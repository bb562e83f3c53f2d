"""What windows have of an accepted recording: bad channels are interpolated, seconds of absurd amplitude are left out.

Shape letters: C channels, S seconds.
"""

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labram.corpus.catalogue import ACCEPTED, Corpus
from labram.corpus.process_recording import PEAKS
from labram.errors import StoreError
from labram.recipe import QualityRecipe
from labram.store.store import Store

COUNTED = ("interpolated_channels", "excluded_seconds")
"""Columns that are lists, and the warning codes that count them."""
Mask = NDArray[np.bool_]


def bad_channels(row: Mapping[Hashable, Any], quality: QualityRecipe) -> tuple[Mask, Mask, Mask]:
    """Return which channels of a recording are flat, saturated and bad [C]. A wrong unit makes no channel flat.

    A channel with an undefined metric counts as if it were beyond the threshold.
    """
    unknown = [math.nan] * len(row["montage"])
    sd, still, extreme = (
        np.asarray(row[name] or unknown, np.float64)
        for name in ("channel_sd_uv", "channel_flat_fraction", "channel_saturated_fraction")
    )
    correction = max(1.0, row["unit_correction"])
    saturated = ~(extreme <= quality.max_saturated)
    return (
        (sd * correction < quality.flat_sd_uv) | ~(still <= quality.max_constant_fraction),
        saturated,
        ~(sd <= quality.max_channel_sd_uv) | saturated,
    )


def with_window_columns(corpus: Corpus, quality: QualityRecipe, store: Store) -> Corpus:
    """Fill in the channels to interpolate, and the seconds that no window may have.

    Raises:
        StoreError: If the store lacks a recording's amplitudes.
    """
    rows = corpus.catalogue.copy()
    columns: dict[str, list[Any]] = {"interpolated_channels": [], "excluded_seconds": [], "excluded_fraction": []}
    for row in rows.to_dict("records"):
        used = row["verdict"] == ACCEPTED and not pd.isna(row["seconds"])
        bad = _interpolated(row, quality) if used else np.zeros(len(row["montage"]), bool)
        loud = _loud_seconds(row, ~bad, quality, store) if used else []
        names = [name for name, is_bad in zip(row["montage"], bad, strict=True) if is_bad]
        columns["interpolated_channels"].append(names)
        columns["excluded_seconds"].append(loud)
        columns["excluded_fraction"].append(len(loud) / max(1, row["seconds"]) if used else 0.0)
    return Corpus(rows.assign(**columns), corpus.labels)


def with_window_warnings(corpus: Corpus) -> Corpus:
    """Add to each accepted recording the warnings that count its interpolated channels and excluded seconds."""
    rows = corpus.catalogue.copy()
    rows["warnings"] = [
        [
            *row["warnings"],
            *(f"{code}={len(row[code])}" for code in COUNTED if row["verdict"] == ACCEPTED and row[code]),
        ]
        for row in rows.to_dict("records")
    ]
    return Corpus(rows, corpus.labels)


def _interpolated(row: Mapping[Hashable, Any], quality: QualityRecipe) -> Mask:
    """Return the channels to interpolate [C]; none if all are bad, or if the recipe keeps them."""
    flat, _, bad = bad_channels(row, quality)
    return (flat | bad) & (quality.bad_channels == "interpolate") & (not (flat | bad).all())


def _loud_seconds(row: Mapping[Hashable, Any], good: Mask, quality: QualityRecipe, store: Store) -> list[int]:
    """Return the seconds with an amplitude beyond the limit in a channel of `good`."""
    stored = store.get_array(row["store_key"], PEAKS)
    if stored is None or stored.shape != (row["seconds"], len(good)):
        raise StoreError(
            "the store lacks the amplitudes of a recording",
            file=row["recording_id"],
            remedy="Ingest the folder again with `labram corpus ingest`, or run with --force",
        )
    peaks = np.asarray(stored).view(np.float16)[:, good]
    stated = row.get("max_window_uv")
    most = quality.max_window_uv if pd.isna(stated) else stated
    return [int(second) for second in np.flatnonzero(~(peaks <= most).all(axis=1))]


def count_excluded(accepted: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return for each split the recordings, seconds and excluded seconds, and the recordings that have some."""
    excluded = accepted["excluded_seconds"].map(lambda seconds: len(seconds or ()))
    return {
        str(split): {
            "recordings": len(part),
            "seconds": int(part["seconds"].sum()),
            "excluded_seconds": int(excluded[part.index].sum()),
            "recordings_with_excluded_seconds": int((excluded[part.index] > 0).sum()),
        }
        for split, part in accepted.groupby("split")
    }
