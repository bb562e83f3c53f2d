"""The parts of the simulated corpus: a scalp, its rhythms, three datasets, and their file formats."""
