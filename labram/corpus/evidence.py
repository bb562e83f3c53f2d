"""Evidence that recordings of two subjects are of one person: signals, header fields and times.

Subjects that evidence ties together are in the same split. Header fields count only where the dataset's layout does not
state the subjects. A patient field with one value for most subjects may be a default, and only yields a warning.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import pandas as pd

from labram.corpus.pseudonyms import pseudonym
from labram.signals.readers.origin import Origin

NEAR_DUPLICATE, SAME_PATIENT, ADJOINING = "near_duplicate", "same_patient", "adjoining"
"""Warning codes: signals in common; an equal patient field; one begins where the other ends."""
_COMMON_VALUES = 4
"""Values that the sketches of two near-duplicate signals have in common, of 16: a quarter of their seconds."""
_STEP_SECONDS = 2.0
"""Width of the time bins; starts and ends are stated in whole seconds."""
_STATED_BY_LAYOUT = "adapter"
MOST_DISTINCT = 2
"""Subjects whose equal patient field is evidence even if it is that of most subjects."""
Pair = tuple[str, str]


class Tie(NamedTuple):
    """Two recordings of different subjects that are of one person, by one kind of evidence.

    Attributes:
        code: Kind of the evidence, a warning code.
        recordings: Their ids.
        subjects: Their subject keys.
        binding: Whether the subjects must be in the same split.
    """

    code: str
    recordings: tuple[str, str]
    subjects: tuple[str, str]
    binding: bool


def origin_columns(origin: Origin, population: str, seconds: float, key: bytes) -> dict[str, object]:
    """Return the catalogue columns with keyed hashes of a header's fields.

    Args:
        origin: Fields of the header.
        population: Dataset or population of datasets whose subjects are compared.
        seconds: Duration of the recording.
        key: Secret key for subject names.
    """
    patient = pseudonym(key, "patient", population, origin.patient) if origin.patient else ""
    if origin.started is None:
        return {"patient_hash": patient, "start_hash": "", "end_hashes": []}

    def hashed(step: int) -> str:
        return pseudonym(key, "time", population, origin.device, str(step))

    start, end = (int(time // _STEP_SECONDS) for time in (origin.started, origin.started + seconds))
    ends = [hashed(step) for step in (end - 1, end, end + 1)]
    return {"patient_hash": patient, "start_hash": hashed(start), "end_hashes": ends}


def find_ties(rows: pd.DataFrame) -> list[Tie]:
    """Return the ties between recordings of different subjects."""
    unstated = rows[rows["subject_source"] != _STATED_BY_LAYOUT]
    pairs = {
        NEAR_DUPLICATE: _near_duplicates(rows),
        SAME_PATIENT: _same_patients(unstated),
        ADJOINING: _adjoining(unstated),
    }
    subjects = dict(zip(rows["recording_id"], rows["subject_key"], strict=True))
    return [
        Tie(code, pair, (subjects[pair[0]], subjects[pair[1]]), binding=binding)
        for code, found in pairs.items()
        for pair, binding in dict(found).items()
        if subjects[pair[0]] != subjects[pair[1]]
    ]


def _near_duplicates(rows: pd.DataFrame) -> Iterator[tuple[Pair, bool]]:
    owners: dict[int, list[str]] = defaultdict(list)
    for recording, sketch in zip(rows["recording_id"], rows["signal_sketch"], strict=True):
        for value in sketch if isinstance(sketch, list) else ():
            owners[value].append(recording)
    common = Counter(pair for recordings in owners.values() for pair in pairwise(recordings))
    yield from ((pair, True) for pair, count in sorted(common.items()) if count >= _COMMON_VALUES)


def _same_patients(rows: pd.DataFrame) -> Iterator[tuple[Pair, bool]]:
    stated = rows[rows["patient_hash"].fillna("") != ""].drop_duplicates(["patient_hash", "subject_key"])
    totals = rows.groupby("dataset")["subject_key"].nunique()
    for (dataset, _), group in stated.groupby(["dataset", "patient_hash"]):
        binding = len(group) <= max(MOST_DISTINCT, int(totals[str(dataset)]) // 2)
        yield from ((pair, binding) for pair in pairwise(group["recording_id"]))


def _adjoining(rows: pd.DataFrame) -> Iterator[tuple[Pair, bool]]:
    """Yield pairs in which the second begins where the first ends, in the same format, montage and sampling rate."""
    montages = rows["montage"].map(lambda names: tuple(names or ()))
    setups = list(zip(rows["format"], rows["rate_hz"], montages, strict=True))
    starts: dict[object, list[str]] = defaultdict(list)
    for setup, start, recording in zip(setups, rows["start_hash"], rows["recording_id"], strict=True):
        if start:
            starts[setup, start].append(recording)
    for setup, ends, recording in zip(setups, rows["end_hashes"], rows["recording_id"], strict=True):
        for end in ends if isinstance(ends, list) else ():
            yield from (((recording, other), True) for other in starts.get((setup, end), ()) if other != recording)
