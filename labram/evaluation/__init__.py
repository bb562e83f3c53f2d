"""Evaluation of models: scores, baselines, confidence intervals, ablation studies, leakage."""
