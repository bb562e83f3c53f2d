"""The DAGs: what runs after what."""
