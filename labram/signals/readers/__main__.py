"""Open a recording and do nothing with it: how `labram.signals.readers.trial` learns whether that can be survived."""

import sys
from pathlib import Path

from labram.signals.readers import open_by_suffix

open_by_suffix(Path(sys.argv[1]))
