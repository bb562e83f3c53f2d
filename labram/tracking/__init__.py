"""Experiment tracking: MLflow runs, buffered metrics, system metrics, lineage, and KFP task summaries."""
