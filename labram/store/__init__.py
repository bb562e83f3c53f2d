"""Content-addressed patch store: one Arrow file per recording, in a folder or an S3 bucket."""
