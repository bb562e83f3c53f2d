"""Launchers and worker processes of a training, process groups and model sharding."""
