"""The commands of docs/your-own-data.md print what the page says, on copies of eegmat as a lab would name them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "your-own-data.md").read_text(encoding="utf-8")
PEOPLE = ("09", "16", "18", "19", "21", "24", "25", "26", "27", "30")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
FRAME = "┏┡│└┃"


def walk_through() -> Iterator[tuple[str, list[str]]]:
    """Yield the commands of the walk through, each with the lines that it prints."""
    text = PAGE.split("## A walk through", 1)[1].split("```console\n", 1)[1].split("```", 1)[0]
    for block in text.split("$ ")[1:]:
        command, *lines = block.rstrip("\n").split("\n")
        yield command, lines


@pytest.fixture
def lab(tmp_path: Path, write_edf, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten people with two recordings each: copies of eegmat if it is there, else simulated ones of the same names."""
    folder = tmp_path / "arithmetic_study"
    folder.mkdir()
    real = ROOT.parent / "shared" / "eeg" / "eegmat"
    lines = ["recording;condition;age"]
    for seed, number in enumerate(PEOPLE):
        for part, condition in enumerate(("rest", "arithmetic"), start=1):
            path = folder / f"P{number}_v{part}.edf"
            if (source := real / f"Subject{number}_{part}.edf").is_file():
                path.write_bytes(source.read_bytes())
            else:
                write_edf(path, seed=10 * seed + part, seconds=20)
            lines.append(f"{path.name};{condition};20,5")
    (folder / "conditions.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_walk_through_prints_what_the_page_says(labram, lab: Path) -> None:
    commands = list(walk_through())
    assert [command.split()[0] for command, _ in commands] == ["head", *["labram"] * 4]
    assert len(commands) <= 8
    for command, expected in commands[1:-1]:
        code, out, errors = labram(*shlex.split(command)[1:])
        assert (code, errors) == (0, "")
        printed = [line for line in out.splitlines() if line and line[0] not in FRAME and "━" not in line]
        assert [NUMBER.sub("N", line) for line in printed] == [NUMBER.sub("N", line) for line in expected]
    table = (lab / "conditions.csv").read_text(encoding="utf-8-sig").splitlines()
    assert table[:3] == commands[0][1]
    shown = labram(*shlex.split("recipe show arithmetic_study.yaml --data arithmetic_study"))
    assert "classes:\n  - rest\n  - arithmetic" in shown[1]


@pytest.mark.attack
def test_the_run_of_the_walk_through_ends(labram, lab: Path) -> None:
    for command, _ in list(walk_through())[1:-1]:
        labram(*shlex.split(command)[1:])
    run = list(walk_through())[-1][0]
    code, out, _ = labram(*shlex.split(run)[1:], "--debug", "--workspace", lab.parent / "ws")
    assert code == 3  # a debug run promotes nothing
    assert "condition" in out


def test_every_key_of_the_page_is_a_key_of_the_file_and_the_reverse() -> None:
    from labram.datasets.stated.dataset_file import Channels, DatasetFile

    for section, model in (("## The file", DatasetFile), ("## Channels", Channels)):
        text = PAGE.split(f"\n{section}\n", 1)[1].split("\n## ", 1)[0]
        rows = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", text, re.MULTILINE)
        stated = {key.split(":")[0] for row in rows for key in re.findall(r"`([^`]+)`", row)}
        assert stated == set(model.model_fields)
