"""Reading recordings and filtering them: the only place that sees raw headers."""
