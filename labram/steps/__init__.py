"""Steps of the pipelines, one function each; `labram.steps.table` lists them."""
