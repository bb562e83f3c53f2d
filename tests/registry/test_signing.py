"""A signed version is served; a changed, foreign-signed or stripped one is named and is not."""

import json
import re
import sys
from pathlib import Path

import pytest

from labram import cli
from labram.checksums import hash_file
from labram.errors import DamagedWeightsError, PlatformError, SignatureError
from labram.recipe import load
from labram.registry import manifest, model_registry, promotion, signing
from tests.registry.test_promotion import verdict

pytest.importorskip("model_signing.signing")
pytest.importorskip("cyclonedx")


def key_pair(folder, name):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / f"{name}.pem").write_bytes(private.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    public = private.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)
    return folder / f"{name}.pem", folder / f"{name}.pub"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return key_pair(tmp_path_factory.mktemp("keys"), "ours")


@pytest.fixture(scope="module")
def version(tracking_database, new_run, task_folder, keys):
    import mlflow

    mlflow.set_tracking_uri(tracking_database)
    lineage = {"git_commit": "abc", "corpus_version": "v1"}
    made = model_registry.register(
        "labram-signed", task_folder, run_id=new_run(), recipe=load("demo"), lineage=lineage, card="# Card"
    )
    promotion.promote(verdict("labram-signed", made.version, None), why="first")
    made = model_registry.get_version("labram-signed", made.version)
    signing.sign(made, keys[0])
    return made


def test_a_signature_states_origin_and_gates_and_serving_accepts_it(version, tracking_uri, keys):
    from labram.cli.model_argument import resolve

    stated = signing.verify(version, keys[1])
    assert stated["subject"] == [{"name": "labram-signed/1", "digest": {"sha256": version.tags[manifest.TAG]}}]
    assert (stated["predicate"]["git_commit"], stated["predicate"]["gate"]) == ("abc", "passed")
    assert resolve("models:/labram-signed@champion", public_key=keys[1])[0].version == version.version


def test_the_bill_of_materials_names_model_corpus_and_packages(version, tracking_uri, tmp_path):
    signed = signing._download(version, tmp_path)
    bill = json.loads((signed / signing.BILL).read_text())
    assert bill["metadata"]["component"]["type"] == "machine-learning-model"
    assert bill["specVersion"] == "1.6"
    named = {component["name"]: component for component in bill["components"]}
    assert named["corpus"]["version"] == "v1"
    assert named["torch"]["purl"].startswith("pkg:pypi/torch@")


def test_another_key_did_not_sign_it(version, tracking_uri, tmp_path):
    from labram.cli.model_argument import resolve

    with pytest.raises(SignatureError, match="signed with another key"):
        resolve("models:/labram-signed/1", public_key=key_pair(tmp_path, "theirs")[1])


@pytest.mark.parametrize("command", ["predict", "embed", "evaluate", "serve"])
def test_every_command_that_loads_a_model_refuses_what_the_configured_key_did_not_sign(
    command, version, tracking_database, keys, tmp_path, write_edf, capsys, monkeypatch
):
    recording = write_edf(tmp_path / "a.edf")
    more = {
        "predict": [recording],
        "embed": [recording],
        "evaluate": ["--data", tmp_path, "--task", "abnormal"],
        "serve": ["--port", "0"],
    }[command]
    workspace = Path(tracking_database.removeprefix("sqlite:///")).parents[1]

    def said() -> str:
        monkeypatch.setattr(sys, "argv", ["labram", command, version.uri, *map(str, more), "-w", str(workspace)])
        with pytest.raises(SystemExit, match="1"):
            cli.main()
        return capsys.readouterr().err

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(signing.PUBLIC_KEY, str(key_pair(tmp_path, "theirs")[1]))
    assert "it was signed with another key" in said()
    monkeypatch.setenv(signing.PUBLIC_KEY, str(keys[1]))
    stripped = Path(artifacts(version)) / signing._place(version) / signing.STATEMENT
    weights = model_registry.local_version(version) / manifest.MODEL / "model.safetensors"
    for file, says in ((stripped, "statement.json: .*missing"), (weights, r"model\.safetensors: .*it is missing")):
        away = file.rename(tmp_path / "away")
        try:
            assert re.search(says, said())
        finally:
            away.rename(file)


def test_the_files_that_were_verified_are_those_that_are_loaded(version, tracking_uri, keys, monkeypatch):
    downloads = []
    original = model_registry._download
    monkeypatch.setattr(model_registry, "_download", lambda *place: downloads.append(place) or original(*place))
    folder = signing.trusted_folder(version.uri, keys[1])
    assert (folder / "model.safetensors").is_file()
    assert len(downloads) == 1


@pytest.mark.parametrize("part", [signing.STATEMENT, signing.BILL, signing.SIGNATURE])
def test_a_changed_or_missing_part_is_named(version, tracking_uri, keys, part):
    folder = Path(artifacts(version)) / signing._place(version)
    content = (folder / part).read_text()
    try:
        (folder / part).write_text(content.replace("a", "b", 1))
        with pytest.raises(SignatureError, match="differs from what was signed"):
            signing.verify(version, keys[1])
        (folder / part).unlink()
        with pytest.raises(SignatureError, match=f"{part}.*missing"):
            signing.verify(version, keys[1])
    finally:
        (folder / part).write_text(content)


def test_changed_weights_are_named_even_if_the_manifest_was_changed_too(version, tracking_uri, keys):
    model = model_registry.local_version(version) / manifest.MODEL
    before = {name: (model / name).read_bytes() for name in ("config.json", manifest.FILE)}
    client = model_registry.client()
    try:
        (model / "config.json").write_bytes(before["config.json"] + b" ")
        with pytest.raises(DamagedWeightsError, match=r"config\.json"):
            signing.verify(version, keys[1])
        files = json.loads(before[manifest.FILE])
        files[f"{manifest.MODEL}/config.json"] = hash_file(model / "config.json")
        (model / manifest.FILE).write_text(json.dumps(files))
        client.set_model_version_tag(version.name, version.version, manifest.TAG, hash_file(model / manifest.FILE))
        changed = model_registry.get_version(version.name, version.version)
        with pytest.raises(SignatureError, match="differs from what was signed"):
            signing.verify(changed, keys[1])
    finally:
        for name, content in before.items():
            (model / name).write_bytes(content)
        client.set_model_version_tag(version.name, version.version, manifest.TAG, version.tags[manifest.TAG])


def test_an_unsigned_version_and_an_absent_key_are_named(tracking_uri, run_id, task_folder, keys, tmp_path):
    made = model_registry.register(
        "labram-unsigned", task_folder, run_id=run_id, recipe=load("demo"), lineage={}, card="# Card"
    )
    with pytest.raises(SignatureError, match="models:/labram-unsigned/1: it is not signed"):
        signing.verify(made, keys[1])
    with pytest.raises(PlatformError, match="does not exist"):
        signing.verify(made, tmp_path / "absent.pub")
    (tmp_path / "broken.pem").write_text("no key")
    with pytest.raises(PlatformError, match="cannot be used"):
        signing.sign(made, tmp_path / "broken.pem")


def artifacts(version):
    uri = model_registry.client().get_run(version.run_id).info.artifact_uri
    return uri.removeprefix("file://")
