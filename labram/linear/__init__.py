"""Linear models of window features: the spectral baseline, probes of LaBraM's embeddings, and both stacked."""
