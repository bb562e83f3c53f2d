"""Why a recording was not predicted: the reason codes of ingest, and those of a model."""

from collections.abc import Mapping
from types import MappingProxyType

from labram.corpus import reasons as ingest
from labram.corpus.reasons import CodeMeaning
from labram.errors import Reason

TOO_MANY_CHANNELS = "too_many_channels"
CHANNELS_MISSING = "channels_missing"
TOO_FEW_WINDOWS = "too_few_windows"
NO_WINDOW = "no_window"
REASONS: Mapping[str, CodeMeaning] = MappingProxyType(
    {
        TOO_MANY_CHANNELS: CodeMeaning(
            "a window of the model's length has more than 256 patches with so many channels",
            "leave channels out, or use a model with shorter windows",
        ),
        CHANNELS_MISSING: CodeMeaning(
            "the model's linear part was fitted on channels that the recording lacks",
            "use recordings with the montage of the training recordings",
        ),
        TOO_FEW_WINDOWS: CodeMeaning(
            "the model standardises features within each subject, and the subject has too few windows",
            "pass longer recordings, or all recordings of the subject (`--subject`)",
        ),
        NO_WINDOW: CodeMeaning(
            "no window of the model's length fits between the start, the end and the seconds of excessive amplitude",
            "pass a longer recording; check for loose electrodes",
        ),
    }
)
COMPANIONS = frozenset({str(Reason.DUPLICATE_FORMAT), str(Reason.ANNOTATIONS_ONLY)})
"""Files beside a recording that is predicted: they have a row, and do not count as not predicted."""


def explain(code: str) -> CodeMeaning:
    """Return meaning and remedy of a reason code."""
    return REASONS.get(code) or ingest.explain(code)


def describe() -> str:
    """Return the reason codes of a model as Markdown, for the documentation."""
    return "| code | meaning | what to do |\n| --- | --- | --- |\n" + "\n".join(
        f"| `{code}` | {text.meaning} | {text.remedy} |" for code, text in REASONS.items()
    )
