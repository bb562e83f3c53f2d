"""Tracking, registry, promotion, lineage and reports."""
