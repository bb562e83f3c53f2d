"""KFP with its shortcuts says the same as without."""

import pytest
import yaml
from kfp import dsl
from kfp.dsl import structures

import pipelines.kfp_shortcuts  # noqa: F401


@dsl.component(base_image="image")
def step() -> None:
    pass


@dsl.pipeline(name="inner")
def inner() -> None:
    step()


def test_an_error_names_the_function_that_was_called() -> None:
    with pytest.raises(ValueError, match=r"^set_cpu_limit can only be used on single-step components"):

        @dsl.pipeline(name="outer")
        def outer() -> None:
            inner().set_cpu_limit("1")


def test_documents_are_parsed_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "name: ä\nroot: [1, 1.5, '1', null, true, 2026-12-01, '#']\nlines: |-\n  a\n  b\n---\nplatforms: {}\n"
    found = structures.load_documents_from_yaml(text)
    monkeypatch.setattr(structures, "yaml", yaml)
    assert structures.load_documents_from_yaml(text) == found
