"""The content-addressed patch store: one Arrow file a recording, in a folder or an S3 bucket."""
