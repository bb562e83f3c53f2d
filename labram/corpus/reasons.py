"""What each code of the catalogue means, and what to do about it: one table for reports and documentation.

Codes are of two kinds: reasons, for which a recording is refused, and warnings, with which it is used.
"""

from collections.abc import Mapping
from typing import NamedTuple

from labram.corpus.rules import SHARED
from labram.errors import Reason


class Explanation(NamedTuple):
    """What was found, and what to do about it; both without a full stop."""

    meaning: str
    remedy: str


REASONS: Mapping[str, Explanation] = {
    Reason.UNREADABLE: Explanation(
        "the file cannot be opened, its header makes no sense, or it changed while it was read",
        "check permissions; copy it again; ingest again when nobody writes to it",
    ),
    Reason.UNSUPPORTED: Explanation("no reader knows this format", "convert it to EDF+ or BrainVision"),
    Reason.DAMAGED: Explanation(
        "bytes were changed (such as by a transfer that rewrote line ends), values are missing, or the file is empty",
        "copy it again, in binary mode",
    ),
    Reason.TRUNCATED: Explanation("the file ends well before its header says", "copy it again"),
    Reason.EPOCHED: Explanation(
        "cut into trials or averages, so no continuous recording", "export the recording that it was made of"
    ),
    Reason.NOT_EEG: Explanation(
        "the signals are no EEG: white noise, the lines of a signal generator, the staircase of a phantom head that is "
        "fed from a converter, band powers, or one signal on all channels",
        "remove it from the folder; if a person was recorded, look for a loose reference or a wrong export",
    ),
    Reason.NO_CANONICAL_CHANNELS: Explanation(
        "too few channels are electrodes of the model's table", "check the channel names"
    ),
    Reason.TOO_SHORT: Explanation("shorter than `quality.min_seconds`", "leave it out"),
    Reason.LOW_RATE: Explanation(
        "sampled too slowly to carry the bands of EEG, as band powers are", "export the signals at their original rate"
    ),
    Reason.FLAT: Explanation("too many channels have no signal", "leave it out, or record again"),
    Reason.IMPLAUSIBLE_UNIT: Explanation(
        "amplitudes are off by a power of 1000, which the catalogue's `unit_correction` states",
        "state that factor as `unit_scale` in the dataset's adapter, or export in µV",
    ),
    Reason.EXCESSIVE_AMPLITUDE: Explanation(
        "too many channels with amplitudes beyond those of EEG, or at the amplifier's limit",
        "look at the recording; raise `quality.max_channel_sd_uv` if it is right",
    ),
    Reason.GAPS: Explanation(
        "a hole in the time stamps longer than `quality.max_gap_seconds`", "cut the recording at the hole"
    ),
    Reason.DUPLICATE_CONTENT: Explanation(
        "the same bytes, or the same signal in other bytes, as the recording in `copy_of`", "delete one of the two"
    ),
    Reason.DUPLICATE_SUBJECT: Explanation(
        "that recording stands under another subject: a leak, were the two held apart",
        "find out whose it is; until then one copy is used, and both subjects are in the same split",
    ),
    Reason.DUPLICATE_FORMAT: Explanation(
        "the same session in a format that the adapter prefers less", "nothing: the other file is used"
    ),
    Reason.MISSING_LABEL: Explanation(
        "a label that must be there is not (a warning: the recording still serves pre-training)", "add the label file"
    ),
    Reason.UNPROCESSABLE: Explanation("labram itself failed on it", "report it, with the recording's id"),
}
WARNINGS: Mapping[str, Explanation] = {
    "line_noise": Explanation("strong mains, before the notch took it out", "check cables and the mains frequency"),
    "flat_spectrum": Explanation("power falls less with frequency than usual: muscle or noise", "look at it"),
    "dropouts": Explanation("seconds in which no channel changes: nothing was recorded there", "cut them out"),
    "saturated": Explanation("a channel stays at its extreme value", "look at it"),
    "clipped": Explanation("values beyond ±32 767 µV, which the store holds as that", "look for loose electrodes"),
    SHARED: Explanation("the same recording stands under another subject", "see `duplicate_subject`"),
    "truncated_tail": Explanation("the file ends up to 5 % early", "copy it again"),
    "record_count_unknown": Explanation("the recorder never closed the file; all whole records are used", "nothing"),
    "record_count_wrong": Explanation("more whole records than the header promises; all are used", "nothing"),
    "annotations_latin1": Explanation("annotations are not in UTF-8, as EDF+ asks for", "nothing"),
    "events_cut": Explanation("annotations end in the middle; those before are used", "copy it again"),
    "channels_of_other_rates": Explanation("channels sampled at another rate than most were left out", "nothing"),
    "channels_without_scale": Explanation("channels whose header gives no scale were left out", "nothing"),
    "unit_not_stated": Explanation("the file states no unit; µV was taken", "state the unit in the adapter"),
    "rate_from_time_stamps": Explanation("the sampling rate was taken from the time stamps", "nothing"),
    "rate_and_unit_of_emotiv_epoc": Explanation(
        "the file states no rate; that of the Emotiv EPOC was taken", "nothing"
    ),
    Reason.MISSING_LABEL: REASONS[Reason.MISSING_LABEL],
}


def explain(code: str) -> Explanation:
    """What a code means; for one that is made by an adapter, its words."""
    return REASONS.get(code) or WARNINGS.get(code) or Explanation(code.replace("_", " "), "")


def describe() -> str:
    """Both tables as Markdown, for the documentation."""
    return "\n\n".join(
        f"### {title}\n\n| code | what was found | what to do |\n| --- | --- | --- |\n"
        + "\n".join(f"| `{code}` | {text.meaning} | {text.remedy} |" for code, text in table.items())
        for title, table in (("Reasons of the quarantine", REASONS), ("Warnings", WARNINGS))
    )
