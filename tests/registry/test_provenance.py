"""A version answers where it came from, and what was made from it."""

import json

import pytest

from labram.errors import RegistryError
from labram.registry import model_registry, provenance
from labram.registry.model_registry import BACKBONE, CHAMPION, TOKENIZER, find_model
from labram.reporting import lineage_page


def add(name, run_id, **tags):
    """Register a bare version and return it: provenance looks at tags only."""
    client = model_registry.client()
    if not model_registry.list_versions(name):
        client.create_registered_model(name)
    made = client.create_model_version(name, source="s3://nowhere/1", run_id=run_id, tags=tags)
    return model_registry.get_version(name, made.version)


@pytest.fixture
def family(run_id):
    """A tokenizer, a backbone and two task models of a corpus, and a task model that is not of this family."""
    corpus = {"corpus_version": f"family-{run_id[:6]}", "git_commit": "abc"}
    tokenizer = add(TOKENIZER, run_id, weights_digest="11", **corpus)
    backbone = add(BACKBONE, run_id, weights_digest="22", tokenizer_version=tokenizer.pin, **corpus)
    made = {"tokenizer_version": tokenizer.pin, "backbone_version": backbone.pin, **corpus}
    eyes = add("labram-eyes", run_id, seed="3", image="registry/labram@sha256:5", **made)
    stages = add("labram-stages", run_id, **made)
    add("labram-eyes", run_id, corpus_version="another")
    return tokenizer, backbone, eyes, stages


def test_a_task_model_is_traced_through_backbone_and_tokenizer_to_the_corpus(family):
    tokenizer, backbone, eyes, _ = family
    found = provenance.trace(eyes)
    assert [node.version for node in found.sources(eyes.uri) if node.version] == [backbone]
    assert [node.version for node in found.sources(backbone.uri) if node.version] == [tokenizer]
    corpus = f"corpus:{eyes.tags['corpus_version']}"
    assert [node.key for node in found.sources(tokenizer.uri)] == [corpus]
    assert found.products(eyes.uri) == []
    assert set(found.nodes) == {corpus, tokenizer.uri, backbone.uri, eyes.uri}


def test_a_backbone_lists_what_was_made_from_it_and_nothing_else(family):
    _, backbone, eyes, stages = family
    products = provenance.trace(backbone).products(backbone.uri)
    assert {node.key for node in products} == {eyes.uri, stages.uri}


def test_flat_keys_are_complete_and_unknown_ones_are_none(family):
    known = provenance.flat(family[2])
    assert known["git_commit"] == "abc"
    assert known["seed"] == "3"
    assert known["image"] == "registry/labram@sha256:5"
    assert known["backbone_version"] == family[1].pin
    assert known["lock_hash"] is None
    assert set(provenance.KEYS) <= set(known)
    json.dumps(known)


def test_a_source_that_is_gone_or_imported_is_named(run_id):
    gone = add("labram-gone", run_id, backbone_version="models:/labram-backbone/999#77")
    assert [node.title for node in provenance.trace(gone).sources(gone.uri)] == [
        "models:/labram-backbone/999 (not in this registry)"
    ]
    imported = add("labram-imported", run_id, backbone_version="labram-base.pth#77")
    assert [node.title for node in provenance.trace(imported).sources(imported.uri)] == ["imported: labram-base.pth"]


def test_a_name_means_its_champion_or_else_its_newest_version(run_id):
    first, second = (add("labram-named", run_id) for _ in range(2))
    assert find_model("labram-named").version == second.version
    model_registry.client().set_registered_model_alias("labram-named", CHAMPION, first.version)
    assert find_model("labram-named").version == first.version
    assert find_model("models:/labram-named/2").version == second.version
    assert find_model("labram-named@champion").version == first.version
    with pytest.raises(RegistryError, match="no registered model is named 'labram-nameless'"):
        find_model("labram-nameless")


def test_the_page_draws_every_model_and_escapes_what_tags_say(family, run_id, tmp_path):
    odd = add("labram-odd", run_id, backbone_version=family[1].pin, recipe="<script>", corpus_version="v")
    page = lineage_page.write(provenance.trace(odd), tmp_path / "lineage.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "labram-backbone version" in page
    assert lineage_page.write(provenance.trace(odd), tmp_path / "again.html").read_text(encoding="utf-8") == page
