"""Does the cluster have what the tasks after this one will ask for?"""

from components import component


@component
def preflight(
    gpus: str,
    accelerator: str,
    node_selector: dict[str, str],
    tolerations: list[dict[str, str]],
    volume: str,
) -> None:
    """Ends the run, with the remedy, if they would wait for something in vain."""
    from labram.steps.preflight import preflight

    preflight(gpus=gpus, accelerator=accelerator, node_selector=node_selector, tolerations=tolerations, volume=volume)
