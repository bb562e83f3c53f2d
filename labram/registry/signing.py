"""Signatures of registered versions: OpenSSF model signing with a key pair, over all files and the gates' verdict.

A signature covers the model's folder, with the digests of the code (`labram.registry.manifest`), an in-toto statement
(origin, gates, scores) and a CycloneDX bill of materials. The three are artifacts of the version's run. Digests notice
damage; only a signature notices somebody who may write the registry.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labram.errors import PlatformError, SignatureError
from labram.registry import bill_of_materials, manifest, model_registry, provenance
from labram.registry.model_registry import ModelVersion

SIGNING_KEY, PUBLIC_KEY = "LABRAM_SIGNING_KEY", "LABRAM_PUBLIC_KEY"
"""Environment variables with the files of the private and the public key, PEM."""
SIGNATURE, STATEMENT, BILL = "model.sig", "statement.json", "bom.cdx.json"
STATEMENT_TYPE, PREDICATE_TYPE = "https://in-toto.io/Statement/v1", "urn:labram:verdict:v1"


def sign(version: ModelVersion, private_key: Path) -> None:
    """Sign a version, and log signature, statement and bill of materials as artifacts of its run.

    Raises:
        PlatformError: If the package `model-signing` is not installed, or the key cannot be used.
        DamagedWeightsError: If a file differs from what was registered.
    """
    _require(private_key)
    folder = model_registry.local_version(version)
    texts = {
        STATEMENT: json.dumps(statement(version), indent=1, sort_keys=True),
        BILL: bill_of_materials.bill(version, folder),
    }
    with _staged(folder / manifest.MODEL, texts) as staged, tempfile.TemporaryDirectory() as temporary:
        signature = Path(temporary) / SIGNATURE
        _sign(staged, signature, private_key)
        for name, text in texts.items():
            (Path(temporary) / name).write_text(text, encoding="utf-8")
        model_registry.client().log_artifacts(version.run_id, temporary, _place(version))


def verify(version: ModelVersion, public_key: Path) -> dict[str, Any]:
    """Verify the signature of a version; return its statement.

    Raises:
        PlatformError: If the package `model-signing` is not installed, or the key cannot be read.
        SignatureError: If the version is not signed, is signed with another key, or differs from what was signed.
        DamagedWeightsError: If a file differs from what was registered.
    """
    return _verified(version, public_key)[0]


def trusted_folder(model: str | Path, public_key: Path | None = None) -> Path:
    """Return the local folder of a model, see `labram.registry.model_registry.local_folder`.

    If there is a public key, a registered version is returned only if the key signed it, and the files are those that
    were verified.

    Args:
        model: ``models:/…``, or a folder, which is not signed.
        public_key: The public key; None: that of `PUBLIC_KEY`, if it is set.

    Raises:
        RegistryError: If the model does not exist, or its files cannot be downloaded.
        PlatformError, SignatureError, DamagedWeightsError: See `verify`.
    """
    key = public_key or configured_key(PUBLIC_KEY)
    if key is None or not str(model).startswith("models:/"):
        return model_registry.local_folder(model)
    return _verified(model_registry.find_version(str(model)), key)[1] / manifest.MODEL


def _verified(version: ModelVersion, public_key: Path) -> tuple[dict[str, Any], Path]:
    """Verify a version; return its statement and its folder."""
    _require(public_key)
    with tempfile.TemporaryDirectory() as temporary:
        signed = _download(version, Path(temporary))
        folder = model_registry.local_version(version)
        texts = {name: (signed / name).read_text(encoding="utf-8") for name in (STATEMENT, BILL)}
        with _staged(folder / manifest.MODEL, texts) as staged:
            _verify(staged, signed / SIGNATURE, public_key)
    content = dict(json.loads(texts[STATEMENT]))
    (subject,) = content["subject"]
    if subject != _subject(version):
        raise _untrusted(version, f"its statement is about {subject['name']}", STATEMENT)
    return content, folder


def statement(version: ModelVersion) -> dict[str, Any]:
    """Return the in-toto statement on a version: origin, gates and scores."""
    known = {key: text for key, text in provenance.flat(version).items() if text and key not in {"aliases", "created"}}
    return {
        "_type": STATEMENT_TYPE,
        "subject": [_subject(version)],
        "predicateType": PREDICATE_TYPE,
        "predicate": known,
    }


def configured_key(variable: str) -> Path | None:
    """Return the key file that an environment variable names, or None."""
    return Path(os.environ[variable]) if os.environ.get(variable) else None


def _subject(version: ModelVersion) -> dict[str, Any]:
    digest = version.tags.get(manifest.TAG, "")
    return {"name": f"{version.name}/{version.version}", "digest": {"sha256": digest}}


def _place(version: ModelVersion) -> str:
    return f"signatures/{version.name}-{version.version}"


def _download(version: ModelVersion, out: Path) -> Path:
    from mlflow.exceptions import MlflowException

    try:
        folder = Path(model_registry.client().download_artifacts(version.run_id, _place(version), dst_path=str(out)))
    except (MlflowException, OSError) as error:
        raise _untrusted(version, "it is not signed", SIGNATURE) from error
    for name in (SIGNATURE, STATEMENT, BILL):
        if not (folder / name).is_file():
            raise _untrusted(version, "the file is missing", name)
    return folder


@contextmanager
def _staged(model: Path, texts: Mapping[str, str]) -> Iterator[Path]:
    """Yield a folder with the model's files, linked where possible, and the texts."""

    def link(source: str, target: str) -> str:
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
        return target

    with tempfile.TemporaryDirectory() as temporary:
        staged = Path(shutil.copytree(model, Path(temporary) / "model", copy_function=link))
        for name, text in texts.items():
            (staged / name).write_text(text, encoding="utf-8")
        yield staged


def _sign(folder: Path, signature: Path, key: Path) -> None:
    from model_signing import signing

    try:
        signing.Config().use_elliptic_key_signer(private_key=key).sign(folder, signature)
    except (ValueError, TypeError, OSError) as error:
        raise PlatformError(
            f"the signing key cannot be used ({type(error).__name__})",
            file=key.name,
            remedy="Make one with: openssl ecparam -name prime256v1 -genkey -noout -out key.pem",
        ) from error


def _verify(folder: Path, signature: Path, key: Path) -> None:
    from model_signing import verifying

    try:
        verifying.Config().use_elliptic_key_verifier(public_key=key).verify(folder, signature)
    except Exception as error:  # the package raises ValueError, and what parsers of keys and bundles raise
        text = str(error)
        foreign = "key" in text.lower() and "mismatch" in text.lower()
        problem = "it was signed with another key" if foreign else f"it differs from what was signed: {text[:200]}"
        raise SignatureError(
            problem, file=SIGNATURE, remedy="Do not use it; compare the version's audit log, or sign it again"
        ) from error


def _require(key: Path) -> None:
    """Raise unless the package is installed and the key file exists."""
    try:
        import model_signing.signing  # noqa: F401
    except ImportError as error:
        raise PlatformError(
            "the package model-signing is not installed",
            field="signing",
            remedy="Install it: pip install 'labram[signing]'",
        ) from error
    if not key.is_file():
        raise PlatformError("the key file does not exist", file=key.name, remedy="Name a PEM file")


def _untrusted(version: ModelVersion, problem: str, file: str) -> SignatureError:
    return SignatureError(
        f"{version.uri}: {problem}", file=file, remedy="Sign it with `labram models sign`, or serve another version"
    )
