"""Reproduction of an earlier run: the same commit, environment, corpus, recipe and seed, and a verdict per artifact."""
