"""The model registry: versions, gates, promotion, model cards, smoke tests."""
