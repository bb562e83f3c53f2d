"""Control characters of file names and texts reach neither terminal nor log."""

import io
import json
import logging
import warnings
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from labram import events, logs
from labram.cli import progress, terminal
from labram.errors import CorpusError
from labram.printable import one_line, printable

EVIL = "a\x1b[2J\x1b]0;title\x07\x9b31m\r\x08\x7f\u202egnp.exe\u2028\udcffz"
SHOWN = r"a\u001b[2J\u001b]0;title\u0007\u009b31m\u000d\u0008\u007f\u202egnp.exe\u2028\udcffz"


def test_control_characters_become_escapes_and_letters_stay():
    assert printable(EVIL) == SHOWN
    assert printable("Müller 脑电\n\tµV 👩\u200d🔬") == "Müller 脑电\n\tµV 👩\u200d🔬"
    assert one_line("a\nerror: b\tc") == r"a\nerror: b\tc"


def test_escapes_leave_json_as_it_is():
    assert json.loads(printable(json.dumps({"name": "a\x7fb\u202e"}, ensure_ascii=False))) == {"name": "a\x7fb\u202e"}


def test_an_error_is_printable_and_its_file_is_on_one_line():
    text = str(CorpusError(f"bad {EVIL}", file=f"{EVIL}\nerror: other", remedy="Rename it"))
    assert text == rf"{SHOWN}\nerror: other: bad {SHOWN}. Rename it."


@pytest.mark.parametrize(
    "show",
    [
        lambda: progress.console.print(f"  {EVIL}", style="yellow"),
        lambda: progress.console.print(_table()),
        lambda: progress.StepDisplay().show({"event": "note", "step": EVIL, "text": EVIL}),
        lambda: progress.StepDisplay().show({"event": "started", "step": EVIL}),
    ],
    ids=["line", "table", "note", "step"],
)
def test_the_terminal_gets_no_control_character(monkeypatch, show):
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", progress.Terminal(file=screen, width=300, markup=False, highlight=False))
    show()
    assert SHOWN in screen.getvalue()
    assert screen.getvalue().replace("\n", "").isprintable()


def _table() -> Table:
    table = Table(EVIL)
    table.add_row(EVIL)
    return table


def test_a_progress_bar_gets_none_either(monkeypatch):
    screen = io.StringIO()
    shown = progress.Terminal(file=screen, force_terminal=True, width=300, color_system=None)
    monkeypatch.setattr(progress, "console", shown)
    with progress.Bar(EVIL):
        pass
    assert SHOWN in screen.getvalue()
    assert "\x07" not in screen.getvalue()


def test_echo_gets_none_either(capsys):
    terminal.echo(EVIL)
    assert capsys.readouterr().out == f"{SHOWN}\n"


def test_a_log_gets_none_either(caplog, monkeypatch):
    monkeypatch.delenv("LABRAM_EVENTS", raising=False)
    with caplog.at_level(logging.INFO, logger="labram"):
        events.emit("note", step="ingest", text=EVIL)
    assert caplog.messages == [f"ingest: {SHOWN}"]


def test_warnings_and_messages_without_handler_get_none_either(monkeypatch, capsys):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(logging, "lastResort", logging._StderrHandler(logging.WARNING))
    logs.escape_control_characters()
    assert SHOWN in warnings.formatwarning(EVIL, UserWarning, "file.py", 1)
    record = logging.LogRecord("mne", logging.WARNING, "file.py", 1, EVIL, None, None)
    logging.lastResort.handle(record)
    assert capsys.readouterr().err == f"{SHOWN}\n"


def test_a_corpus_folder_with_control_characters_is_redacted_in_either_form(monkeypatch):
    monkeypatch.setenv("LABRAM_CORPUS", "/data/\x1bx")
    for folder in ("/data/\x1bx", one_line("/data/\x1bx")):
        assert logs.redact_paths(f"in '{folder}/P1 name.edf'") == "in '--data'"


def test_the_log_of_a_run_gets_none_either():
    from pipelines.local import PlainText

    raw = io.BytesIO()
    log = PlainText(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)
    print(f"\x1b[96mtask\x1b[0m {EVIL}", file=log)
    assert raw.getvalue().decode() == f"task {SHOWN}\n"


def test_commands_print_through_one_console_and_one_function():
    """Another way to the terminal would not escape."""
    sources = {path.name: path.read_text() for path in Path(terminal.__file__).parent.glob("*.py")}
    for name in set(sources) - {"terminal.py", "progress.py", "reference.py"}:
        assert not [word for word in ("typer.echo", "typer.secho", "Console(") if word in sources[name]], name
    assert issubclass(progress.Terminal, Console)
