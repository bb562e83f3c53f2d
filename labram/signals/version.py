"""Version of the output of readers and filters: part of every key in the patch store."""

import importlib.metadata

REVISION = 4
"""Raise it when, and only when, the output of a reader or filter changes: every corpus is then ingested again.
`tests/signals/test_version.py` compares outputs with golden files of this revision."""

VERSION = f"{REVISION}-mne{importlib.metadata.version('mne')}"
"""Includes MNE's version because MNE designs the filters and reads most formats."""
