"""Training data: windows, labelled windows, stored codes, random seeds, augmentation."""
