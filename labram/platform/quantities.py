"""Quantities in Kubernetes' notation, such as ``500m`` cores or ``24Gi``."""

from decimal import Decimal


def parse(quantity: str) -> Decimal:
    """Return a quantity as a number: cores, or bytes.

    Raises:
        ValueError: If it is none.
    """
    from kubernetes.utils.quantity import parse_quantity  # on use: its import loads the whole client

    return Decimal(parse_quantity(quantity))
