"""Check that services and cluster have what the later tasks need."""

from components import component


@component
def preflight(
    gpus: str,
    accelerator: str,
    node_selector: dict[str, str],
    tolerations: list[dict[str, str]],
    volume: str,
    requests: dict[str, dict[str, str]],
    commit: str,
) -> None:
    """Fail, with the remedies, if a later task would fail or stay pending."""
    from labram.steps.preflight import preflight

    preflight(
        gpus=gpus,
        accelerator=accelerator,
        node_selector=node_selector,
        tolerations=tolerations,
        volume=volume,
        requests=requests,
        commit=commit,
    )
