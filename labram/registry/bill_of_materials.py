"""CycloneDX bill of materials of a registered version: the model, its data and the packages that serving needs."""

from pathlib import Path

from labram.checksums import hash_file
from labram.registry import manifest, provenance
from labram.registry.model_registry import WEIGHTS, ModelVersion


def bill(version: ModelVersion, folder: Path) -> str:
    """Return the bill of materials as CycloneDX JSON 1.6.

    Args:
        version: The version.
        folder: Its whole folder, see `labram.registry.model_registry.local_version`.
    """
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    model = Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=version.name,
        version=version.version,
        bom_ref=version.uri,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=hash_file(folder / manifest.MODEL / WEIGHTS[0]))],
        properties=[
            Property(name=f"labram:{key}", value=text) for key, text in provenance.flat(version).items() if text
        ],
    )
    bom = Bom()
    bom.metadata.component = model
    data = version.tags.get("corpus_version", "unknown")
    corpus = Component(type=ComponentType.DATA, name="corpus", version=data, bom_ref=f"corpus:{data}")
    packages = [
        Component(
            type=ComponentType.LIBRARY,
            name=name,
            version=pinned,
            bom_ref=f"pkg:pypi/{name}@{pinned}",
            purl=PackageURL("pypi", None, name, pinned),
        )
        for name, pinned in _requirements(folder / "requirements.txt")
    ]
    for component in (corpus, *packages):
        bom.components.add(component)
    bom.register_dependency(model, [corpus, *packages])
    return str(JsonV1Dot6(bom).output_as_string(indent=1))


def _requirements(file: Path) -> list[tuple[str, str]]:
    if not file.is_file():
        return []
    lines = (line.strip().partition("==") for line in file.read_text(encoding="utf-8").splitlines())
    return [(name, pinned) for name, _, pinned in lines if pinned]
