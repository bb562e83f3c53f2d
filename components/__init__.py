"""Thin KFP components, one a step."""
