"""The process in which `labram.signals.readers.isolated_reader` has a recording read."""

import sys
from multiprocessing.connection import Connection
from pathlib import Path

from labram.signals.readers import open_here
from labram.signals.readers.isolated_reader import serve

serve(Path(sys.argv[1]), Connection(int(sys.argv[2])), open_here)
