"""Recordings: electrode names, readers, filters and resampling."""
