"""MLflow model registry: versions, promotion gates, promotion, model cards and smoke tests."""
