import re
from pathlib import Path

from labram.datasets import ADAPTERS
from labram.datasets.__main__ import update_table

ROOT = Path(__file__).parents[2]


def test_the_table_of_datasets_is_what_the_adapters_state() -> None:
    page = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    assert update_table(page) == page, "run `python -m labram.datasets`"


def test_classes_are_distinct_and_open_archives_have_subject_numbers() -> None:
    for adapter in ADAPTERS.values():
        for classes in adapter.tasks.values():
            assert classes
            assert len(set(classes)) == len(classes)
        if adapter.download:
            assert re.compile(adapter.download.subject).groups == 1


def test_the_published_preparation_has_its_notch_at_50_hz_whatever_the_line_frequency() -> None:
    for adapter in ADAPTERS.values():
        published = adapter.as_published()
        assert published.published
        assert not adapter.published
        assert published.line_freq_hz == adapter.line_freq_hz
