"""Inference with a trained model: the predictor, its MLflow pyfunc and its signature."""
