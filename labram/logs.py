"""Logging as JSON lines with the ids of the run and of the task, for pods.

``LABRAM_LOG=json`` enables it; a cluster's ConfigMap sets the variable. Otherwise logging stays as configured by the
caller.
"""

import io
import json
import logging
import os
import re
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from labram.errors import LabramError
from labram.printable import one_line, printable

VARIABLE = "LABRAM_LOG"
CORPUS_VARIABLE = "LABRAM_CORPUS"
"""Environment variable with the corpus folder. Paths in it may contain personal names, so logs redact them."""
IDS = {"run": "LABRAM_RUN", "task": "LABRAM_TASK"}
"""Fields of every line and their environment variables: the pipeline run, and the task's pod."""
FIELDS = "fields"
"""Attribute of a log record with additional fields, such as those of an event."""
Text = TypeVar("Text", str, str | None)
_redacted: set[str] = set()


def redact_folder(folder: Path) -> None:
    """Redact paths within a corpus folder from now on."""
    _redacted.add(str(folder.absolute()))


def redact_paths(text: Text) -> Text:
    """Replace paths within corpus folders in a text by ``--data``."""
    if not text:
        return text
    folders = _redacted | {os.environ.get(CORPUS_VARIABLE, "")} - {""}
    for folder in folders | {one_line(folder) for folder in folders}:
        text = re.sub(re.escape(folder) + r"(?![\w.-])[^'\"\n]*", "--data", text)
    return text


class JsonFormatter(logging.Formatter):
    """Formatter of records as JSON lines: time, level, ids, logger, message, fields, and the traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **{name: os.environ[variable] for name, variable in IDS.items() if os.environ.get(variable)},
            "logger": record.name,
            "message": redact_paths(record.getMessage()),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["traceback"] = redact_paths(self.formatException(record.exc_info))
        return json.dumps(line, default=str)


class PlainFormatter(logging.Formatter):
    """Formatter of messages on the terminal, without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        return printable(super().format(record))


def escape_control_characters() -> None:
    """Let warnings, and messages of loggers without handler, escape control characters, as of file names."""
    original = warnings.formatwarning
    warnings.formatwarning = lambda *about, **more: printable(original(*about, **more))
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(PlainFormatter())


def escape_unencodable() -> None:
    """Let standard output and error escape characters that the terminal's encoding lacks: output never fails for it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def configure() -> None:
    """Write logs, warnings and an uncaught exception as JSON to standard output, if ``LABRAM_LOG`` is ``json``.

    Libraries log from level *warning* on: at *info*, Great Expectations alone writes hundreds of lines.
    """
    escape_unencodable()
    if os.environ.get(VARIABLE) != "json":
        return
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("labram").setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Log an uncaught exception, with its traceback unless it is a `LabramError`."""
    exc_info = None if isinstance(error, LabramError) else (kind, error, trace)
    logging.getLogger("labram").critical("%s: %s", kind.__name__, error, exc_info=exc_info)
