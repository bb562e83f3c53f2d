"""BrainVision: a header (.vhdr), markers (.vmrk) and samples (.eeg or .dat).

Described in the "BrainVision Core Data Format 1.0" document of Brain Products.
"""

import re
from pathlib import Path

import mne

from labram.errors import ReadError, Reason
from labram.signals.readers.refusals import truncated, unreadable
from labram.signals.readers.with_mne import open_raw, to_recording
from labram.signals.recording import Recording

_SAMPLE_BYTES = {"INT_16": 2, "UINT_16": 2, "IEEE_FLOAT_32": 4}


def read(path: Path) -> Recording:
    """Read the recording that a ``.vhdr`` describes.

    Raises:
        ReadError: UNREADABLE if a part is missing or cannot be understood, TRUNCATED if the samples end within one.
    """
    files = content_files(path)
    _refuse_partial_frame(path, files[1])
    return to_recording(path, open_raw(path, mne.io.read_raw_brainvision))


def content_files(path: Path) -> tuple[Path, ...]:
    """The header, the sample file and, where there is one, the marker file.

    Raises:
        ReadError: If a file that the header names is not beside it.
    """
    header = _header(path)
    files = [path]
    for key in ("DataFile", "MarkerFile"):
        name = _value(header, key)
        if name is None and key == "DataFile":
            raise unreadable(path, "no DataFile entry")
        if name is None:
            continue
        # $b stands for the header's own name; a name with folders in it is taken from beside the header all the same.
        part = path.parent / name.replace("$b", path.stem).replace("\\", "/").rsplit("/", 1)[-1]
        if not part.is_file():
            raise ReadError(
                f"its {key} is not beside it",
                reason=Reason.UNREADABLE,
                file=path.name,
                field=key,
                remedy="Put the .vhdr, .vmrk and .eeg files of a recording into one folder",
            )
        files.append(part)
    return tuple(files)


def _header(path: Path) -> str:
    text = path.read_bytes().decode("latin1")
    if "brain vision" not in text[:200].lower() and "brainvision" not in text[:200].lower():
        raise unreadable(path, "no BrainVision signature")
    return text


def _value(header: str, key: str) -> str | None:
    match = re.search(rf"^{key}\s*=\s*(.*?)\s*$", header, re.MULTILINE | re.IGNORECASE)
    return match[1] if match and match[1] else None


def _refuse_partial_frame(path: Path, samples: Path) -> None:
    header = _header(path)
    width = _SAMPLE_BYTES.get((_value(header, "BinaryFormat") or "").upper())
    channels = _value(header, "NumberOfChannels") or ""
    if width and channels.isdecimal() and samples.stat().st_size % (width * int(channels)):
        raise truncated(path, "the sample file ends within a sample")
