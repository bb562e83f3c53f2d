"""Which model answers: name, version and commit, as every prediction states them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Served:
    """The version that predicts, as answers and tables name it.

    Attributes:
        model: Registered name, or the folder's name.
        version: Registered version, or the digest of the weights.
        commit: Commit that trained it.
    """

    model: str
    version: str
    commit: str
