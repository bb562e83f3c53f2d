"""The command line in this process: what a user sees, without the imports of a process of its own."""

import sys
from collections.abc import Callable

import pytest

from labram import cli

Ended = tuple[int, str, str]


@pytest.fixture
def labram(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Gives a function that runs a command and gives its exit code, output and errors."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["labram", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(str(ended.value.code or 0)), *capsys.readouterr()

    return run
