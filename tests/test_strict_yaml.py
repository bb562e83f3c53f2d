"""YAML of settings: what is stated twice, too deep or no file of settings is an error with a line."""

import os
from pathlib import Path

import pytest
import yaml

from labram import recipe as recipes
from labram import strict_yaml
from labram.errors import CorpusError, RecipeError
from labram.platform import schedules


@pytest.mark.parametrize("text", ["seed: 1\nseed: 2", "a: {b: 1, c: 2, b: 1}", "a:\n- 1: x\n  1: y", "{no: 1, no: 2}"])
def test_a_key_that_is_stated_twice_is_an_error(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="is repeated"):
        strict_yaml.parse(text)


def test_everything_else_is_as_in_yaml() -> None:
    text = "x-base: &base {a: 1, b: 2}\nc: &c {<<: *base, b: 3}\nd: [*base, *base]\ne: {<<: *c, a: 4}"
    assert strict_yaml.parse(text) == yaml.safe_load(text)
    assert strict_yaml.parse(text)["c"] == {"a": 1, "b": 3}


def test_nesting_without_end_is_an_error() -> None:
    assert strict_yaml.parse("[" * 30 + "]" * 30)
    with pytest.raises(yaml.YAMLError, match="too deeply"):
        strict_yaml.parse("[" * 100_000)


def test_merges_of_merges_end_in_an_error() -> None:
    levels = "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12))
    with pytest.raises(yaml.YAMLError, match="too many merged keys"):
        strict_yaml.parse(f"a0: &a0 {{x: 1}}\n{levels}")


def test_digits_are_the_number_that_people_read_or_a_text() -> None:
    parsed = strict_yaml.parse("[010, 1:30, 1:30.5, -07, 0, 10, 1e3, 0.5, 1_000, 0x1F]")
    assert parsed == ["010", "1:30", "1:30.5", "-07", 0, 10, "1e3", 0.5, 1000, 31]


@pytest.mark.parametrize("text", ["extends: demo\nname: x\nname: y", f"extends: demo\ntasks: {'[' * 5000}"])
def test_a_recipe_names_the_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(RecipeError, match=r"mine\.yaml: not valid YAML \(line \d: (the key|nested)"):
        recipes.load(str(tmp_path / "mine.yaml"))


def test_a_dataset_file_names_the_line(tmp_path: Path) -> None:
    from labram.datasets.stated import dataset_file

    path = tmp_path / "dataset.yaml"
    path.write_text("name: mine\nline_freq_hz: 50\nline_freq_hz: 60\n")
    with pytest.raises(CorpusError, match=r"line 3: the key 'line_freq_hz' is repeated"):
        dataset_file.load(path)


def test_schedules_name_the_key(tmp_path: Path) -> None:
    from labram.errors import PlatformError

    (tmp_path / "schedules.yaml").write_text("schedules: []\nschedules: []\n")
    with pytest.raises(PlatformError, match="is repeated"):
        schedules.read(tmp_path / "schedules.yaml")


@pytest.mark.parametrize("kind", ["pipe", "device", "huge"])
def test_what_is_no_file_of_settings_is_not_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "dataset.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.touch()
        os.truncate(path, 1 << 40)
    with pytest.raises(OSError, match="not a file of settings"):
        strict_yaml.read_text(path)
