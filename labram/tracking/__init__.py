"""Experiment tracking: MLflow runs, metrics that survive an outage, system metrics, lineage, KFP summaries."""
