"""The version of what readers and filters make of a file: part of the key of everything in the patch store."""

import importlib.metadata

REVISION = 2
"""To be raised by whoever changes what comes out of a reader or a filter, and by nobody else: a higher number makes
every corpus be ingested again. `tests/signals/test_version.py` compares outputs with those kept for this number."""

VERSION = f"{REVISION}-mne{importlib.metadata.version('mne')}"
"""With MNE's version, because it designs the filters and decodes most formats."""
