"""Logging as JSON lines with the ids of the run and of the task, for pods.

``LABRAM_LOG=json`` enables it; a cluster's ConfigMap sets the variable. Otherwise logging stays as configured by the
caller.
"""

import codecs
import io
import json
import locale
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
_TERMINAL = "labram_terminal"
"""Option of the interpreter with the locale's encoding, after a restart."""
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


def restart_in_utf8() -> None:
    """Restart this process in UTF-8 mode if the locale decodes file names otherwise.

    Names on disk are UTF-8, whatever the locale is, and ids, subjects and rows of label tables depend on them. Output
    keeps the encoding of the locale.
    """
    if codecs.lookup(sys.getfilesystemencoding()).name != "utf-8":
        options = ["-X", "utf8", "-X", f"{_TERMINAL}={locale.getencoding()}"]
        environment = {**os.environ, "PYTHONUTF8": "1"}  # for the processes that this one starts
        os.execve(sys.executable, [sys.executable, *options, *sys.orig_argv[1:]], environment)  # noqa: S606
    if encoding := sys._xoptions.get(_TERMINAL):
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding=str(encoding))


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
