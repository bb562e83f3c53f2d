"""Entry point of the child process of `labram.signals.readers.isolated_reader`."""

import sys
from pathlib import Path

from labram.child_process import connect
from labram.signals.readers import open_here
from labram.signals.readers.isolated_reader import serve

serve(Path(sys.argv[1]), connect(sys.argv[2]), open_here)
