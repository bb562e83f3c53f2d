"""What goes to the log of a pod: a line of JSON for everything, with the ids of the run and of the task.

``LABRAM_LOG=json`` asks for it, as the ConfigMap of a cluster does. Without it, logging is as whoever started this
process has set it up.
"""

import json
import logging
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from labram.errors import LabramError

VARIABLE = "LABRAM_LOG"
CORPUS_VARIABLE = "LABRAM_CORPUS"
"""Environment variable with the corpus folder. Names of folders and files may be people's, so nothing keeps them."""
IDS = {"run": "LABRAM_RUN", "task": "LABRAM_TASK"}
"""Fields of every line, and the variables that hold them: the pipeline's run, and the pod."""
FIELDS = "fields"
"""Attribute of a log record with further fields, such as those of an event."""
Text = TypeVar("Text", str, str | None)
_hidden: set[str] = set()


def hide(folder: Path) -> None:
    """From now on leave paths within a corpus folder out of what is written."""
    _hidden.add(str(folder.absolute()))


def without_paths(text: Text) -> Text:
    """A text without the paths in it that lead into a corpus folder."""
    if not text:
        return text
    for folder in _hidden | {os.environ.get(CORPUS_VARIABLE, "")} - {""}:
        text = re.sub(re.escape(folder) + r"(?![\w.-])[^'\"\n]*", "--data", text)
    return text


class Lines(logging.Formatter):
    """Makes a line of JSON of each record: time, level, ids, message, its own fields, and the traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **{name: os.environ[variable] for name, variable in IDS.items() if os.environ.get(variable)},
            "logger": record.name,
            "message": without_paths(record.getMessage()),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["traceback"] = without_paths(self.formatException(record.exc_info))
        return json.dumps(line, default=str)


def configure() -> None:
    """Write all that Python logs, its warnings, and the error that ends it, as JSON to the standard output."""
    if os.environ.get(VARIABLE) != "json":
        return
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _last_words


def _last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A user's error has said all in its message; any other comes with its traceback."""
    told = None if isinstance(error, LabramError) else (kind, error, trace)
    logging.getLogger("labram").critical("%s: %s", kind.__name__, error, exc_info=told)
