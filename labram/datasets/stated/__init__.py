"""Datasets that a file states instead of code: `dataset.yaml`, its tables and labels, and drafts of it."""
