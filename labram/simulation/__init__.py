"""The simulated corpus: a scalp model, EEG waveforms, three datasets, and writers of their file formats."""
