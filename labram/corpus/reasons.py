"""Meaning and remedy of each code in the catalogue, for reports and documentation.

Reasons quarantine a recording; a recording with warnings is used.
"""

from collections.abc import Mapping
from typing import NamedTuple

from labram.corpus.evidence import ADJOINING, NEAR_DUPLICATE, SAME_PATIENT
from labram.corpus.rules import LOST, SHARED
from labram.errors import Reason


class CodeMeaning(NamedTuple):
    """Meaning of a code, and what to do about it; both without a full stop."""

    meaning: str
    remedy: str


REASONS: Mapping[str, CodeMeaning] = {
    Reason.UNREADABLE: CodeMeaning(
        "the file cannot be opened, its header is invalid, or it changed while it was read",
        "check permissions; copy it again; ingest again when no program writes to it",
    ),
    Reason.NOT_DOWNLOADED: CodeMeaning(
        "a link or pointer of git-annex or Git LFS in place of the file",
        "run `datalad get` (git-annex) or `git lfs pull` (Git LFS) in the dataset",
    ),
    Reason.UNSUPPORTED: CodeMeaning(
        "no reader knows this format",
        "convert it to EDF+ or BrainVision; arrays of MATLAB, NumPy or HDF5 are described in a dataset.yaml",
    ),
    Reason.DAMAGED: CodeMeaning(
        "bytes were changed (for example by a transfer as text), values are missing or absurdly large, "
        "the file is empty, or it takes far more memory than its size",
        "copy it again, in binary mode; export it again",
    ),
    Reason.TRUNCATED: CodeMeaning("the file ends well before the length in its header", "copy it again"),
    Reason.OUTSIDE: CodeMeaning(
        "the file refers to another file outside its folder, or a link leads out of the corpus folder; it is not read",
        "put all files of the recording into one folder, correct the reference; replace the link by the file itself",
    ),
    Reason.ANNOTATIONS_ONLY: CodeMeaning(
        "annotations without signals, such as a hypnogram in EDF+: a companion of a recording",
        "nothing; for labels, write an adapter that reads it",
    ),
    Reason.EPOCHED: CodeMeaning(
        "cut into epochs or averages, not a continuous recording",
        "export the continuous recording, or describe epochs of MNE or EEGLAB as `trials` in a dataset.yaml",
    ),
    Reason.NOT_EEG: CodeMeaning(
        "the signals are not EEG: white noise, a signal generator, the held samples of a phantom head, band powers, or "
        "one signal on all channels",
        "remove it from the folder; if a person was recorded, check the reference electrode and the export",
    ),
    Reason.NO_CANONICAL_CHANNELS: CodeMeaning(
        "too few channels are electrodes that the model knows", "check the channel names"
    ),
    Reason.CHANNELS_LOST: CodeMeaning(
        "more than `quality.max_lost_fraction` of the channels that look like EEG are no electrodes of the model: "
        "unknown names or bipolar derivations",
        "rename the channels, or export them against one reference; `labram corpus ingest` prints their labels",
    ),
    Reason.TOO_SHORT: CodeMeaning("shorter than `quality.min_seconds`", "remove it"),
    Reason.LOW_RATE: CodeMeaning(
        "the sampling rate is too low for the bands of EEG, as of band powers", "export at the original sampling rate"
    ),
    Reason.FLAT: CodeMeaning("too many channels have no signal", "remove it, or record again"),
    Reason.IMPLAUSIBLE_UNIT: CodeMeaning(
        "amplitudes are wrong by a power of 1000; the catalogue has the factor in `unit_correction`",
        "set that factor as `unit_scale` in the dataset's adapter or `dataset.yaml`, or export in µV",
    ),
    Reason.EXCESSIVE_AMPLITUDE: CodeMeaning(
        "too many channels with amplitudes above those of EEG, or at the amplifier's limit",
        "inspect the recording; raise `quality.max_channel_sd_uv` if it is correct",
    ),
    Reason.GAPS: CodeMeaning(
        "a gap in the time stamps longer than `quality.max_gap_seconds`", "split the recording at the gap"
    ),
    Reason.DUPLICATE_CONTENT: CodeMeaning(
        "the same bytes, or the same signal in other bytes, as the recording in `copy_of`", "delete one of the two"
    ),
    Reason.DUPLICATE_SUBJECT: CodeMeaning(
        "the same recording is stored under another subject, which would leak between splits",
        "find out the subject; until then one copy is used, and both subjects are in the same split",
    ),
    Reason.DUPLICATE_FORMAT: CodeMeaning(
        "the same session also exists in the adapter's preferred format", "nothing: the other file is used"
    ),
    Reason.MISSING_LABEL: CodeMeaning(
        "a required label is missing (a warning: the recording is still used for pre-training)", "add the label file"
    ),
    Reason.UNPROCESSABLE: CodeMeaning(
        "labram failed unexpectedly, or took far more time or memory than a recording of this size needs",
        "export it again; if it is correct, report it, with the recording id",
    ),
}
WARNINGS: Mapping[str, CodeMeaning] = {
    "line_noise": CodeMeaning("strong line noise, before the notch filter", "check cables and the line frequency"),
    "flat_spectrum": CodeMeaning(
        "power decreases less with frequency than usual: muscle activity or noise", "inspect it"
    ),
    "dropouts": CodeMeaning("seconds in which all channels are constant: nothing was recorded", "remove them"),
    "saturated": CodeMeaning("a channel stays at its extreme value", "inspect it"),
    "clipped": CodeMeaning("values beyond ±32 767 µV, clipped in the store", "check for loose electrodes"),
    "excluded_seconds": CodeMeaning(
        "seconds with values beyond `quality.max_window_uv`, or in `bad_spans`, which no window has",
        "check for loose electrodes",
    ),
    "bad_spans": CodeMeaning(
        "spans that the file or `events.tsv` marks as bad (MNE's `BAD_…`, BrainVision's `Bad Interval`); no window has "
        "their seconds",
        "nothing",
    ),
    "events_not_understood": CodeMeaning(
        "`events.tsv` marks a span as bad whose onset or duration is no number; it was not used",
        "correct it: run the BIDS validator",
    ),
    "interpolated_channels": CodeMeaning(
        "flat or bad channels, which windows have interpolated from the others (`quality.bad_channels`)",
        "check the electrodes",
    ),
    "channels_stated": CodeMeaning(
        "channels are renamed, or interpolated from a cap's positions, as `channels` of its `dataset.yaml` states",
        "nothing: predictions for recordings of that folder follow it too",
    ),
    SHARED: CodeMeaning("the same recording is stored under another subject", "see `duplicate_subject`"),
    NEAR_DUPLICATE: CodeMeaning(
        "its signal has seconds in common with a recording of another subject; both subjects are in the same split",
        "find out the subject, and state it (`corpus.subject`)",
    ),
    SAME_PATIENT: CodeMeaning(
        "its header states the same patient as that of another subject; both are in the same split, unless most "
        "subjects have that text",
        "find out the subject, and state it (`corpus.subject`)",
    ),
    ADJOINING: CodeMeaning(
        "one recording begins where this one ends, or the reverse, on the same device, with another subject; both "
        "subjects are in the same split",
        "find out the subject, and state it (`corpus.subject`)",
    ),
    "truncated_tail": CodeMeaning("the file ends up to 5 % early", "copy it again"),
    "record_count_unknown": CodeMeaning(
        "the recorder did not close the file; all complete records are used", "nothing"
    ),
    "record_count_wrong": CodeMeaning("more complete records than the header states; all are used", "nothing"),
    "annotations_latin1": CodeMeaning("annotations are not UTF-8, which EDF+ requires", "nothing"),
    "events_cut": CodeMeaning("annotations are truncated; the complete ones are used", "copy it again"),
    "channels_of_other_rates": CodeMeaning("channels with another sampling rate than most were left out", "nothing"),
    "channels_without_scale": CodeMeaning("channels without a scale in the header were left out", "nothing"),
    "channels_without_values": CodeMeaning("electrodes without a value in most samples were left out", "nothing"),
    "lost_samples": CodeMeaning(
        "samples that the recorder lost, or whose values it could not represent, were left out as gaps",
        "check `gap_seconds`; record again if they are many",
    ),
    "gaps_unknown": CodeMeaning(
        "the file does not tell whether, or how long, the recording paused: the gap rule was not applied",
        "compare events or durations with your notes; export it with dates of its segments",
    ),
    LOST: CodeMeaning(
        "channels that look like EEG and were left out, because their labels are no electrodes that the model knows",
        "rename them; `labram corpus ingest` prints the labels",
    ),
    "repeated_electrodes": CodeMeaning(
        "channels that name an electrode twice, in any spelling; the first of each is used", "check the montage"
    ),
    "files_renamed": CodeMeaning(
        "the header names a file that is not there; the one with the header's own name was read", "nothing"
    ),
    "unit_not_stated": CodeMeaning("the file states no unit; µV was assumed", "set `unit_scale` in the adapter"),
    "rate_from_time_stamps": CodeMeaning("the sampling rate was computed from the time stamps", "nothing"),
    "rate_and_unit_of_emotiv_epoc": CodeMeaning(
        "the file states no sampling rate; that of the Emotiv EPOC was assumed", "nothing"
    ),
    "sidecar_repaired": CodeMeaning(
        "a BIDS sidecar breaks JSON or BIDS (Latin-1, a trailing comma, a name twice, text or a list instead of a "
        "number); what is clear of it was used",
        "correct it: run the BIDS validator",
    ),
    "sidecar_unreadable": CodeMeaning(
        "a BIDS sidecar cannot be read or understood; nothing of it was used", "correct it: run the BIDS validator"
    ),
    "line_freq_not_stated": CodeMeaning(
        "the BIDS sidecars state no line frequency; 50 Hz was assumed", "add `PowerLineFrequency`"
    ),
    "line_freq_not_understood": CodeMeaning(
        "`PowerLineFrequency` is neither 50 nor 60 Hz; 50 Hz was assumed", "correct `PowerLineFrequency`"
    ),
    "rate_contradicts_sidecar": CodeMeaning(
        "`SamplingFrequency`, or `sampling_frequency` of `channels.tsv`, is no number, or not the sampling rate of the "
        "file, which was used",
        "find out which is right: durations and all frequencies depend on it",
    ),
    "duration_contradicts_sidecar": CodeMeaning(
        "`RecordingDuration` is no number, or not the duration of the file",
        "compare the file with the original: it may have been cut",
    ),
    "reference_not_understood": CodeMeaning(
        "the stated reference has words that are neither electrodes nor common terms; it is not in the catalogue",
        "state it as electrodes, such as `Cz` or `A1, A2`",
    ),
    "channels_excluded": CodeMeaning(
        "channels that `channels.tsv` or the FIF file states as bad or not EEG were left out", "nothing"
    ),
    "channels_not_understood": CodeMeaning(
        "`channels.tsv` has a type or status that BIDS does not define, a unit of EEG other than µV or a row without "
        "all cells, or names a bad channel that the recording does not have; these entries were not used, but a bad "
        "channel is left out",
        "correct it: run the BIDS validator",
    ),
    Reason.MISSING_LABEL: REASONS[Reason.MISSING_LABEL],
}


def explain(code: str) -> CodeMeaning:
    """Return the meaning of a code; for an adapter's own code, its words."""
    return REASONS.get(code) or WARNINGS.get(code) or CodeMeaning(code.replace("_", " "), "")


def describe() -> str:
    """Return both tables as Markdown, for the documentation."""
    return "\n\n".join(
        f"### {title}\n\n| code | meaning | what to do |\n| --- | --- | --- |\n"
        + "\n".join(f"| `{code}` | {text.meaning} | {text.remedy} |" for code, text in table.items())
        for title, table in (("Reasons of the quarantine", REASONS), ("Warnings", WARNINGS))
    )
