"""How good a model is: tasks, metrics, baselines, statistics."""
