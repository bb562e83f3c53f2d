"""Provenance of a registered version: what it was made from, and what was made from it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from labram.registry import model_registry
from labram.registry.model_registry import BACKBONE, DIGEST_TAG, TOKENIZER, ModelVersion

KEYS = {
    "git_commit": "commit",
    "git_dirty": "uncommitted changes",
    "diff_hash": "digest of the uncommitted changes",
    "code_version": "code digest",
    "corpus_version": "corpus version",
    "splits_hash": "digest of the splits",
    "recipe": "recipe",
    "recipe_hash": "recipe digest",
    "seed": "seed",
    "tokenizer_version": "tokenizer",
    "backbone_version": "backbone",
    "lock_hash": "lock digest",
    "environment_hash": "digest of installed packages",
    "python": "Python",
    "torch": "PyTorch",
    "image": "container image",
    "platform": "platform",
    "hardware": "hardware of the training",
    "threads": "CPU threads of the training",
    "actor": "started by",
    "pipeline_run": "run",
    DIGEST_TAG: "digest of the weights",
    "metric": "metric",
    "score": "score [95 % CI]",
    "baseline_score": "baseline [95 % CI]",
    "difference": "model minus baseline [95 % CI]",
    "gate": "gates",
    "gate_detail": "gates in detail",
}
"""Tags with the origin and the verdict of a version, and their titles."""
PARENTS = ("backbone_version", "tokenizer_version")


@dataclass(frozen=True)
class Node:
    """One thing that models are made from: a corpus version, or a model.

    Attributes:
        key: ``corpus:VERSION``, ``models:/NAME/VERSION``, or the address of an imported backbone.
        title: What tables and graphs show.
        version: The registered version, if it is one.
    """

    key: str
    title: str
    version: ModelVersion | None = None


@dataclass(frozen=True)
class Provenance:
    """Provenance of one version.

    Attributes:
        version: The version.
        nodes: The version, everything that it was made from and everything that was made from it, by key.
        edges: Pairs of keys: source, and what was made from it.
    """

    version: ModelVersion
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: tuple[tuple[str, str], ...] = ()

    @property
    def root(self) -> Node:
        """The node of the version."""
        return self.nodes[self.version.uri]

    def sources(self, key: str) -> list[Node]:
        """Return what a node was made from, models first."""
        return [self.nodes[source] for source, target in self.edges if target == key]

    def products(self, key: str) -> list[Node]:
        """Return what was made from a node."""
        return [self.nodes[target] for source, target in self.edges if source == key]


def flat(version: ModelVersion) -> dict[str, str | None]:
    """Return the provenance of a version by key, see `KEYS`; None where its tags do not state it.

    ``name``, ``version``, ``uri``, ``aliases``, ``run_id`` and ``created`` come first.
    """
    known: dict[str, str | None] = {
        "name": version.name,
        "version": version.version,
        "uri": version.uri,
        "aliases": ",".join(version.aliases),
        "run_id": version.run_id or None,
        "created": version.created.isoformat(timespec="seconds") if version.created else None,
    }
    known |= {key: version.tags.get(key) for key in KEYS}
    others = {key: value for key, value in sorted(version.tags.items()) if key not in known}
    return known | others


def trace(version: ModelVersion) -> Provenance:
    """Return what a version was made from, up to the corpus, and everything that was made from it."""
    everything = {entry.uri: entry for entry in model_registry.list_versions()}
    edges = {edge: None for entry in everything.values() for edge in _edges(entry, everything)}
    upwards, downwards = {version.uri}, {version.uri}
    for _ in everything:
        upwards |= {source for source, target in edges if target in upwards}
        downwards |= {target for source, target in edges if source in downwards}
    keys = upwards | downwards
    kept = tuple(edge for edge in edges if set(edge) <= upwards or set(edge) <= downwards)
    return Provenance(version, {key: _node(key, everything) for key in sorted(keys)}, kept)


def _edges(version: ModelVersion, versions: Mapping[str, ModelVersion]) -> Iterator[tuple[str, str]]:
    """Yield the direct sources of a version, each with the version.

    A task model lists the tokenizer of its backbone too; only the backbone is a direct source. A corpus is one unless
    the version's source is made from the same.
    """
    addresses = (version.tags.get(key, "").rpartition("#")[0] for key in PARENTS)
    parent = next(filter(None, addresses), "")
    if parent:
        yield parent, version.uri
    corpus = version.tags.get("corpus_version")
    inherited = versions[parent].tags.get("corpus_version") if parent in versions else None
    if corpus and corpus != inherited:
        yield f"corpus:{corpus}", version.uri


def _node(key: str, versions: Mapping[str, ModelVersion]) -> Node:
    if key.startswith("corpus:"):
        return Node(key, f"corpus {key.removeprefix('corpus:')}")
    version = versions.get(key)
    if version is None:
        return Node(key, f"{key} (not in this registry)" if key.startswith("models:/") else f"imported: {key}")
    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    return Node(key, f"{version.name} version {version.version}{aliases}", version)


def layer(node: Node) -> int:
    """Return the column of a node in a drawing: corpus 0, tokenizer 1, backbone 2, task model 3."""
    if node.version is None:
        return 0 if node.key.startswith("corpus:") else 2
    return {TOKENIZER: 1, BACKBONE: 2}.get(node.version.name, 3)
