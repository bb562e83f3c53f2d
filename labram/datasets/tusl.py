"""TUH EEG Slowing Corpus: slowing, seizures and background, annotated in spans of ten seconds."""

from pathlib import Path

from labram.datasets.base import Group, LabelSpan, RecordingFile, invalid_labels, read_label_text
from labram.datasets.tuh import Annotation, Tuh, merge_channels, read_annotations
from labram.signals.recording import Recording

_CLASSES = {"bckg": 0.0, "slow": 1.0, "seiz": 2.0}


class Tusl(Tuh):
    """`edf/<patient>/<session>_<year>/<reference>/<patient>_<session>_<token>.edf`, with a `.tse_agg` or `.csv` file.

    `.tse_agg` rows are start, stop, label, confidence, for all channels.

    Tested on a synthetic copy of its layout.
    """

    name = "tusl"
    title = "TUH EEG Slowing Corpus"
    citation = "von Weltin E, et al. IEEE SPMB 2017; Obeid I, Picone J. Front Neurosci 2016;10:196"
    inside = ("[a-z]*/s*/0[1-4]_tcp_*/*.tse_agg", "[a-z]*/s*/0[1-4]_tcp_*/*_t[0-9][0-9][0-9].csv")
    group = Group.PRETRAINING
    tasks = {"slowing": ("background", "slowing", "seizure")}

    def recognises(self, folder: Path) -> bool:
        """Return whether the layout matches, without `.csv_bi` files, which distinguish the seizure corpus."""
        return super().recognises(folder) and not any(folder.glob("[a-z]*/s*/0[1-4]_tcp_*/*.csv_bi"))

    def sidecars(self, file: RecordingFile) -> list[Path]:
        """Return the possible annotation files."""
        return [file.path.with_suffix(suffix) for suffix in (".tse_agg", ".csv")]

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return spans of task `slowing`; other labels are excluded."""
        del recording
        tse_agg, csv_path = self.sidecars(file)
        spans = _read_tse_agg(tse_agg) if tse_agg.is_file() else read_annotations(csv_path)
        return [
            LabelSpan("slowing", span.start, span.stop - span.start, (_CLASSES.get(span.label, -1.0),), excluded)
            for span, agree in merge_channels(spans)
            for excluded in ["" if agree and span.label in _CLASSES else "other_or_conflicting_labels"]
        ]


def _read_tse_agg(path: Path) -> list[Annotation]:
    rows = [line.split() for line in read_label_text(path).splitlines() if line.strip() and "=" not in line]
    try:
        return [Annotation(float(start), float(stop), label) for start, stop, label, _ in rows]
    except ValueError:
        raise invalid_labels(path) from None
