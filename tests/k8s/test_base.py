"""The manifests of the base: complete, and as little allowed as possible."""

from pathlib import Path

import yaml

BASE = Path(__file__).parents[2] / "k8s" / "base"


def manifests() -> dict[str, dict]:
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    return {name: yaml.safe_load((BASE / name).read_text()) for name in listed}


def test_every_manifest_is_listed() -> None:
    assert set(manifests()) == {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}


def test_pods_are_held_to_the_restricted_standard() -> None:
    labels = manifests()["namespace.yaml"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_tasks_get_no_token_of_the_kubernetes_api() -> None:
    assert manifests()["service-account.yaml"]["automountServiceAccountToken"] is False


def test_the_workspace_can_be_mounted_by_tasks_on_several_nodes() -> None:
    assert manifests()["workspace.yaml"]["spec"]["accessModes"] == ["ReadWriteMany"]
