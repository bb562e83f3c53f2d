"""Reading what is not as it should be."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labram.errors import ReadError, Reason
from labram.signals.readers import is_recording, read

SECRET = "Mustermann"
"""Stands where files have names of people; no message may have it."""


@pytest.fixture
def refused() -> Callable[[Path], Reason]:
    """The reason for which a file is not read."""

    def run(path: Path) -> Reason:
        with pytest.raises(ReadError) as caught:
            read(path)
        assert SECRET not in str(caught.value)
        assert caught.value.__cause__ is None
        return caught.value.reason

    return run


@pytest.fixture
def survive_flips(capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> Callable[[Path, int], None]:
    """Read a file with bytes of its beginning changed, again and again: it is read or refused, and nothing is said."""

    def run(path: Path, times: int) -> None:
        sound = path.read_bytes()
        generator = np.random.default_rng(0)
        for _ in range(times):
            content = bytearray(sound)
            for place in generator.integers(0, min(len(content), 2000), 8):
                content[place] = generator.integers(256)
            path.write_bytes(content)
            if is_recording(path):
                with contextlib.suppress(ReadError):
                    recording = read(path)
                    assert recording.read(range(len(recording.channels))).size
        assert capfd.readouterr() == ("", "")
        assert not [str(warning) for warning in recwarn.list]

    return run
