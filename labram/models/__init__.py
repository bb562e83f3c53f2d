"""LaBraM: tokenizer, masked model, downstream model, and their weights."""
