"""Dataset adapters, and how the datasets of a corpus folder are found."""
