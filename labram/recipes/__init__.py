"""Recipes that come with labram."""
