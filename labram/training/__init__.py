"""Training of tokenizer, backbone and task models: one stage function each, and one training loop."""
