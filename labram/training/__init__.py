"""One training loop for the tokenizer, masked modelling and tasks."""
