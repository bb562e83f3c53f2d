"""One adapter a dataset: where its recordings, subjects and labels are."""
