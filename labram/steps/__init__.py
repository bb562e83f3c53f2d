"""The steps of the DAG, one function each: what goes in, the work, what comes out."""
