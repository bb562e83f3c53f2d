"""Training data: windows, labelled windows, codebook indices, seeds, augmentation."""
